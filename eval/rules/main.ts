// main.ts - ranks code rules on a model's own keys, values and queries.
//   deno task rules --help
// It prints a table; --json prints rows and fits. Nothing here runs the native codes: the rules are
// decoded in plain loops.
import process from "node:process";
import { z } from "zod";
import { parse } from "../../engine/parse.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { describeModel, type ModelDescription } from "../../engine/model/describe.ts";
import { ropeFrequencies } from "../../engine/model/rope.ts";
import { profileIds } from "../../engine/profile_auto.ts";
import { ensureLibrary } from "../../cli/library.ts";
import { number, readFlags } from "../../cli/options.ts";
import { sentenceOf } from "../../cli/words.ts";
import { StatusLine } from "../../cli/output.ts";
import { smollm2 } from "../../tools/smollm2.ts";
import type { EvalDocument } from "../tasks/document.ts";
import { taskKit } from "../tasks/source.ts";
import { calibrate } from "./calibrate.ts";
import { Capture } from "./capture.ts";
import { type Rule, rules as all } from "./rule.ts";
import { studyHead } from "./study.ts";
import { type DocumentSamples, fits, ruleRows } from "./summary.ts";
import { depthTable, ruleTable } from "./tables.ts";

const ACTION = "study rules";
const EVERY = 64; // tokens between the steps of the profile's text
const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;
const flags = {
  ...{ model: text, tasks: text, tokens: text, samples: text, seed: text, steps: text },
  ...{ rules: text, yarn: text, threads: text, depths: flag, json: flag, help: flag },
} as const;

const help = `rules - ranks code rules on a model's own keys, values and queries

  --model PATH      a folder or GGUF file with a tokenizer; default SmolLM2, fetched
  --tasks T,T       as of eval; default text,code,needle
  --tokens N,N      of a prompt; default 2048
  --samples N       documents of a task and length; default 1
  --steps N         decoded tokens that are looked at; default 16, at most 80
  --seed N  --threads N
  --rules NAME,NAME those whose name holds one of these; default all
  --depths          depths in the order of code scores alone, and how they grow with length
  --yarn F          stretches the model's rope F times
  --json            rows and fits
`;

const schema = z.strictObject({
  model: z.string().min(1).optional(),
  tasks: z.array(z.string()).min(1),
  tokens: z.array(z.int().min(256).max(2 ** 20)).min(1),
  samples: z.int().min(1).max(1000),
  seed: z.int().min(0),
  steps: z.int().min(1).max(80),
  yarn: z.number().min(1).max(64),
  threads: z.int().min(0).max(1024),
});

/** Runs the study that `args` ask for. */
export async function main(args: readonly string[]): Promise<void> {
  const given = readFlags(ACTION, args, flags);
  if (given.help) return console.log(help);
  const options = parse(schema, {
    model: given.model,
    tasks: listOf(given.tasks) ?? ["text", "code", "needle"],
    tokens: listOf(given.tokens)?.map((tokens) => number({ tokens }, "tokens")) ?? [2048],
    samples: number(given, "samples") ?? 1,
    seed: number(given, "seed") ?? 0,
    steps: number(given, "steps") ?? 16,
    yarn: number(given, "yarn") ?? 1,
    threads: number(given, "threads") ?? 0,
  }, ACTION);
  const rules = rulesOf(listOf(given.rules));
  const model = options.model ?? await smollm2();
  await ensureLibrary(process.stderr);
  const description = stretched(describeModel(model), options.yarn);
  const kit = await taskKit(model, description);
  const calibration = calibrationOf(model, description, options.threads);
  const status = new StatusLine(process.stderr);
  const samples: DocumentSamples[] = [];
  for (const tokens of options.tokens) {
    for (const task of options.tasks) {
      for (let at = 0; at < options.samples; at++) {
        status.show(`${task} ${tokens} ${at + 1}/${options.samples}`);
        const make = kit.tasks.get(task);
        if (make === undefined) {
          throw new SpecacheError(
            "argument",
            `Cannot ${ACTION}: task ${task} is none of ${[...kit.tasks.keys()].join(", ")}`,
          );
        }
        const document = make(kit.source, { seed: options.seed + at, tokens });
        using capture = Capture.answer(description, document.ids, options.steps, options.threads);
        const fact = factOf(document, (text) => kit.source.codec.encode(text));
        samples.push(
          ...studied(capture, calibration, rules, fact, given.depths === true).map(
            ([rule, samples]) => ({ task, tokens, rule, samples }),
          ),
        );
      }
    }
  }
  status.end();
  const rows = ruleRows(samples, rules, description.headDim);
  if (given.json) console.log(JSON.stringify({ rows, fits: fits(rows) }));
  else console.log(given.depths ? depthTable(rows, fits(rows)) : ruleTable(rows));
}

function listOf(value: string | boolean | undefined): string[] | undefined {
  return typeof value === "string" ? value.split(",") : undefined;
}

function rulesOf(names: readonly string[] | undefined): readonly Rule[] {
  if (names === undefined) return all;
  const chosen = names.flatMap((part) => {
    const found = all.filter(({ name }) => name.includes(part.trim()));
    if (found.length > 0) return found;
    const known = all.map(({ name }) => name).join(", ");
    throw new SpecacheError("argument", `Cannot ${ACTION}: rule ${part} is none of ${known}`);
  });
  return [...new Set(chosen)]; // two parts may name one rule
}

// A model whose rope yarn stretches, as it is done to run it beyond its own positions.
function stretched(description: ModelDescription, factor: number): ModelDescription {
  if (factor === 1) return description;
  const { headDim, tokensMax, frequencies, name } = description;
  // frequency 1 of headDim / 2 is theta^(-2 / headDim)
  const theta = frequencies[1] ** (-headDim / 2);
  const scaling = { type: "yarn", theta, factor, original_max_position_embeddings: tokensMax };
  const rope = ropeFrequencies(name, headDim, tokensMax, scaling);
  return {
    ...description,
    frequencies: rope.frequencies,
    ropeMagnitude: rope.magnitude,
    tokensMax: Math.floor(tokensMax * factor),
  };
}

function calibrationOf(model: string, description: ModelDescription, threads: number) {
  const ids = profileIds(model, description);
  if (ids === null) {
    throw new SpecacheError("file", `Cannot ${ACTION}: model ${model} has no tokenizer`);
  }
  using capture = Capture.text(description, ids, EVERY, threads);
  return calibrate(capture.heads(), description.ropeNeighbours);
}

function studied(
  capture: Capture,
  calibration: ReturnType<typeof calibrate>,
  rules: readonly Rule[],
  fact: readonly number[],
  depthsAlone: boolean,
) {
  const samples = new Map<string, DocumentSamples["samples"][number][]>();
  let at = 0;
  for (const head of capture.heads()) {
    const options = { rules, ...calibration[at++], fact, depthsAlone };
    for (const [rule, own] of studyHead(head, options)) {
      samples.set(rule, [...samples.get(rule) ?? [], ...own]);
    }
  }
  return [...samples];
}

/** Where the answer stands in the text: the tokens of its first place; empty without an answer. */
export function factOf(
  { ids, answers }: EvalDocument,
  encode: (text: string) => readonly number[],
): number[] {
  if (answers === null || answers.length !== 1) return [];
  const wanted = encode(` ${answers[0]}`);
  for (let first = 0; first + wanted.length <= ids.length; first++) {
    if (wanted.every((id, at) => ids[first + at] === id)) return wanted.map((_, at) => first + at);
  }
  return [];
}

if (import.meta.main) {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    console.error(sentenceOf(error, flags));
    process.exitCode = 2;
  }
}
