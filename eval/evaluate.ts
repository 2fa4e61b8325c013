// evaluate.ts - a whole evaluation: every document in every mode, resumable document by document.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SpecacheError } from "../engine/errors.ts";
import { describeModel, type ModelDescription } from "../engine/model/describe.ts";
import { profileFor, usesProfile } from "../engine/profile_auto.ts";
import { measureProfile } from "../engine/profile_measure.ts";
import type { Profile } from "../engine/profile.ts";
import { type EvalMode, readModes } from "./modes.ts";
import type { EvalReport } from "./rows.ts";
import { type OpenMode, openMode, runDocument, STEPS_MAX } from "./run.ts";
import { appendLines, keyOf, readResults, type ResultLine, runHash } from "./resume.ts";
import { summarize } from "./summary.ts";
import type { EvalDocument } from "./tasks/document.ts";
import { type TaskKit, taskKit } from "./tasks/source.ts";

/** What is evaluated. */
export interface EvalOptions {
  /** Folder of a Hugging Face model, or a GGUF file. */
  readonly model: string;
  readonly tasks: readonly string[];
  /** Tokens of a prompt, each length in turn. */
  readonly tokens: readonly number[];
  /** Documents of a task and length. */
  readonly samples: number;
  /** As readModes() has them. */
  readonly modes: string;
  readonly seed: number;
  /** Compute threads; 0: the machine's cores. */
  readonly threads: number;
  /** `file`: far memory in files of the temporary folder, so that prefetches are real. */
  readonly far: "ram" | "file";
  /** Steps of a document at most. */
  readonly steps?: number;
  /** A profile's path, `none`, or `auto`. */
  readonly profile?: string;
  /** File of finished documents, a JSON line for each mode; a second run goes on behind it. */
  readonly resume?: string;
  /** File that gets each document with the tokens that full gave, a JSON line each. */
  readonly documents?: string;
  /** This run takes documents i, i + n, i + 2n …; others take the rest. */
  readonly shard?: { readonly index: number; readonly of: number };
}

/** Told of documents done, and of all. */
export type EvalProgress = (done: number, of: number, what: string) => void;

/**
 * Evaluates.
 *
 * @throws {SpecacheError} argument: no such task, a text too short; as opening an engine does
 */
export async function evaluate(
  options: EvalOptions,
  notice: (sentence: string) => void,
  progress: EvalProgress,
): Promise<EvalReport> {
  const description = describeModel(options.model);
  const kit = await taskKit(options.model, description);
  const modes = readModes(options.modes);
  checkRoom(options, description);
  const documents = documentsOf(options, kit);
  const of = runHash(description, options);
  const names = modes.map(({ name }) => name);
  const done = options.resume === undefined
    ? new Map<string, ResultLine[]>()
    : readResults(options.resume, of, names);
  for (const path of [options.resume, options.documents]) {
    if (path !== undefined) appendLines(path, []); // refused now, not behind the first document
  }
  const left = documents.filter((document) => !done.has(keyOf(document)));
  let count = documents.length - left.length;
  if (left.length > 0) {
    using open = await openAll(options, modes, description, notice);
    for (const make of left) {
      progress(count++, documents.length, `${make.task} ${make.tokens}`);
      const document = make.document();
      const { results, target } = runDocument(document, {
        ...{ full: open.full, modes: open.modes, description },
        decode: (ids) => kit.decode(ids),
        steps: Math.min(options.steps ?? STEPS_MAX, STEPS_MAX),
      });
      const lines = results.map((result) => ({ ...result, of }));
      done.set(keyOf(make), lines);
      if (options.resume !== undefined) appendLines(options.resume, lines);
      if (options.documents !== undefined) {
        appendLines(options.documents, [{ ...document, target }]);
      }
    }
  }
  progress(count, documents.length, "");
  const { layers, kvHeads } = description;
  const results = documents.flatMap((document) => done.get(keyOf(document)) ?? []);
  return summarize(results, { model: description.name, seed: options.seed, layers, kvHeads });
}

/** A document before it is made. */
interface Planned {
  readonly task: string;
  readonly tokens: number;
  readonly seed: number;
  document(): EvalDocument;
}

// The prompt and every step must have a position.
function checkRoom({ tokens }: EvalOptions, { tokensMax }: ModelDescription): void {
  const longest = Math.max(...tokens);
  if (longest + STEPS_MAX <= tokensMax) return;
  throw new SpecacheError(
    "argument",
    `Cannot evaluate: tokens ${longest} and ${STEPS_MAX} steps are above the model's ` +
      `${tokensMax} positions`,
    { details: { name: "tokens", value: longest, steps: STEPS_MAX, positions: tokensMax } },
  );
}

function documentsOf(options: EvalOptions, { tasks, source }: TaskKit): Planned[] {
  const { shard = { index: 0, of: 1 } } = options;
  const planned = options.tokens.flatMap((tokens) =>
    options.tasks.flatMap((task) => {
      const make = tasks.get(task);
      if (make === undefined) {
        const known = [...tasks.keys()].join(", ");
        throw new SpecacheError(
          "argument",
          `Cannot evaluate: tasks ${task || '""'} is none of ${known}, the tasks of this model`,
          { details: { name: "tasks", value: task || '""' } },
        );
      }
      return Array.from({ length: options.samples }, (_, sample) => {
        const seed = options.seed + sample;
        return { task, tokens, seed, document: () => make(source, { seed, tokens }) };
      });
    })
  );
  return planned.filter((_, at) => at % shard.of === shard.index);
}

interface Opened extends Disposable {
  readonly full: OpenMode["store"];
  readonly modes: readonly OpenMode[];
}

async function openAll(
  options: EvalOptions,
  modes: readonly EvalMode[],
  description: ModelDescription,
  notice: (sentence: string) => void,
): Promise<Opened> {
  const profile = await profileOf(options, modes, description, notice);
  const folder = options.far === "file" ? mkdtempSync(join(tmpdir(), "specache-")) : null;
  const open: OpenMode[] = [];
  const end = () => {
    for (const { store } of open) store.close();
    if (folder !== null) rmSync(folder, { recursive: true, force: true });
  };
  try {
    const how = {
      ...{ description, profile, threads: options.threads },
      tokens: Math.max(...options.tokens),
      far: ({ name }: EvalMode) => folder && join(folder, encodeURIComponent(name)),
    };
    for (const mode of [fullMode, ...modes]) {
      const same = mode.name === "full" ? open.find((other) => other.mode.name === "full") : null;
      if (!same) open.push(openMode(mode, how));
    }
    const order = modes.map(({ name }) => open.find(({ mode }) => mode.name === name)!);
    return { full: open[0].store, modes: order, [Symbol.dispose]: end };
  } catch (error) {
    end();
    throw error;
  }
}

const [fullMode] = readModes("full");

async function profileOf(
  { model, profile, threads }: EvalOptions,
  modes: readonly EvalMode[],
  description: ModelDescription,
  notice: (sentence: string) => void,
): Promise<Profile | null> {
  return await profileFor({
    ...{ model, description, profile, notice },
    useful: modes.some(({ cache }) => usesProfile(cache) && (cache.profile ?? "auto") === "auto"),
    // An evaluation takes its time, and so may a profile.
    measure: (ids) => Promise.resolve(measureProfile({ description, ids, threads })),
  });
}
