// eval.ts - `specache eval`: what each mode loses against the full cache, on tasks from a seed.
import { Buffer } from "node:buffer";
import { closeSync, existsSync, openSync, readSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createHash } from "node:crypto";
import { z } from "zod";
import { SpecacheError } from "../engine/errors.ts";
import { parse } from "../engine/parse.ts";
import { refusedAs } from "../engine/system.ts";
import { checkoutPath } from "../eval/checkout.ts";
import { type EvalOptions, evaluate } from "../eval/evaluate.ts";
import type { EvalReport, EvalRow, Interval } from "../eval/rows.ts";
import { table } from "../eval/table.ts";
import { taskNames } from "../eval/tasks/source.ts";
import { TEXT_FOLDER } from "../eval/text.ts";
import { cacheHome } from "../ffi/home.ts";
import { ensureLibrary } from "./library.ts";
import { checkWritable, type Flags, number, readFlags, unwritable } from "./options.ts";
import { StatusLine, type Streams } from "./output.ts";

const ACTION = "evaluate";
const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;

/** Flags of the command. */
export const evalFlags = {
  ...{ model: text, tasks: text, tokens: text, samples: text, modes: text, seed: text },
  ...{ steps: text, far: text, profile: text, threads: text, shard: text },
  ...{ resume: text, documents: text, output: text, report: text },
  ...{ json: flag, help: flag, verbose: flag },
} as const;

/** Help of the command. */
export const evalHelp = `specache eval - what each mode loses against the full cache

  --model PATH           folder of a Hugging Face model, GGUF file, or name of a pulled model
  --tasks T,T            of ${taskNames.slice(0, 6).join(", ")},
                         ${taskNames.slice(6).join(", ")}; default text
  --tokens N,N           tokens of a prompt; default 2048
  --samples N            documents of a task and length; default 4
  --modes M,M            default full,paper,specache; others: compact, and any with options in
                         brackets: specache[k=64,keyBits=1], paper[rule=rotated],
                         specache[profile=FILE], full[activations=int8]
  --seed N               default 0
  --steps N              tokens fed behind a prompt, at most; default 80
  --far ram|file         default ram; file: in the temporary folder, so that rows are fetched
  --profile auto|none|FILE  --threads N
  --shard I/N            takes the I-th (from 0) of N parts of the documents
  --resume FILE|none     finished documents, to go on behind; default in the cache folder; the
                         files of several shards put together are one of the whole
  --documents FILE       adds each document that runs, with full's tokens, a JSON line each
  --output FILE          writes the whole report as JSON
  --report FILE.html     writes it as one page with plots
  --json  --verbose  --help

  specache eval --model models/needle --tasks needle,multikey --tokens 1024 --samples 2
`;

const schema: z.ZodType<Omit<EvalOptions, "threads"> & { readonly threads?: number }> = z
  .strictObject({
    model: z.string().min(1),
    tasks: z.array(z.string()).min(1),
    tokens: z.array(z.int().min(256).max(2 ** 24)).min(1),
    samples: z.int().min(1).max(100_000),
    modes: z.string(),
    seed: z.int().min(0),
    threads: z.int().min(1).max(256).optional(),
    far: z.enum(["ram", "file"]),
    steps: z.int().min(1).max(80).optional(),
    profile: z.string().min(1).optional(),
    resume: z.string().min(1).optional(),
    documents: z.string().min(1).optional(),
    shard: z.strictObject({ index: z.int().min(0), of: z.int().min(1) }).optional(),
  });

/** Runs the command; it is `eval` on the command line. */
export async function evalCommand(
  args: readonly string[],
  { stdout, stderr }: Streams,
): Promise<void> {
  const flags = readFlags(ACTION, args, evalFlags);
  if (flags.help) {
    stdout.write(evalHelp);
    return;
  }
  const options = optionsOf(flags);
  checkoutPath(TEXT_FOLDER, ACTION); // before anything is built
  for (const name of ["resume", "documents", "output", "report"]) {
    const given = flags[name] !== undefined && flags[name] !== "none";
    const fresh = name === "output" || name === "report";
    if (given) checkWritable(flags, name, fresh); // now, not when all is done
  }
  checkApart(flags);
  await ensureLibrary(stderr);
  const line = new StatusLine(stderr);
  const started = performance.now();
  const report = await evaluate(
    options,
    (sentence) => stderr.write(`${sentence}\n`),
    (done, of, what) => {
      if (stderr.isTTY) {
        line.show(
          `  ${done} of ${of} documents  ${what}  ${leftText(started, done, of)}`,
        );
      }
    },
  );
  line.end();
  if (flags.output !== undefined) writeOutput(flags, "output", JSON.stringify(report));
  if (flags.report !== undefined) {
    const { reportHtml } = await import("../eval/report.ts"); // it loads a plotting library
    writeOutput(flags, "report", reportHtml(report));
  }
  stdout.write(flags.json ? JSON.stringify({ rows: report.rows }) + "\n" : tableOf(report) + "\n");
}

// Each file has one content, and what is gone on behind holds objects, a line each.
function checkApart(flags: Flags): void {
  const given = ["resume", "documents", "output", "report"].flatMap((name) =>
    isFile(flags[name]) ? [{ name, path: resolve(String(flags[name])) }] : []
  );
  for (const [i, { name, path }] of given.entries()) {
    const other = given.slice(0, i).find((before) => before.path === path);
    if (other !== undefined) {
      const sentence = `Cannot ${ACTION}: --${other.name} and --${name} are both ${path}`;
      throw new SpecacheError("argument", sentence);
    }
    if (name === "documents" && existsSync(path) && !/^(\{"|$)/.test(firstLine(path))) {
      const sentence = `Cannot ${ACTION}: --documents ${path} holds something else; name a new one`;
      throw new SpecacheError("data", sentence);
    }
  }
}

// Or will be one; nobody looks into a pipe or a terminal.
function isFile(path: unknown): boolean {
  if (path === undefined || path === "none") return false;
  return statSync(String(path), { throwIfNoEntry: false })?.isFile() ?? true;
}

function firstLine(path: string): string {
  try {
    const start = Buffer.alloc(64);
    const file = openSync(path, "r");
    try {
      return start.toString("latin1", 0, readSync(file, start)).split("\n")[0];
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    const sentence = `Cannot ${ACTION}: --documents ${path} ${refusedAs(cause, "read")}`;
    throw new SpecacheError("file", sentence, { cause });
  }
}

function optionsOf(flags: Flags): EvalOptions {
  const list = (name: string, otherwise: string) => String(flags[name] ?? otherwise).split(",");
  const options = parse(
    schema,
    defined({
      model: flags.model,
      tasks: list("tasks", "text"),
      tokens: list("tokens", "2048").map((tokens) => number({ tokens }, "tokens")),
      samples: number(flags, "samples") ?? 4,
      modes: String(flags.modes ?? "full,paper,specache"),
      seed: number(flags, "seed") ?? 0,
      threads: number(flags, "threads"),
      far: flags.far ?? "ram",
      steps: number(flags, "steps"),
      profile: flags.profile,
      documents: flags.documents,
      shard: shardOf(flags),
    }),
    ACTION,
  );
  const settled = { ...options, threads: options.threads ?? 0 };
  if (flags.resume === "none") return settled;
  const resume = flags.resume === undefined ? resumePath(settled) : String(flags.resume);
  return { ...settled, resume };
}

function shardOf(flags: Flags): EvalOptions["shard"] {
  if (flags.shard === undefined) return undefined;
  const [, index, of] = String(flags.shard).match(/^(\d+)\/(\d+)$/) ?? [];
  if (index !== undefined && Number(index) < Number(of)) {
    return { index: Number(index), of: Number(of) };
  }
  throw new SpecacheError(
    "argument",
    `Cannot ${ACTION}: --shard ${flags.shard || '""'} is not I/N, I from 0 and below N`,
  );
}

// What other arguments would have given must not be gone on with.
function resumePath({ documents: _, ...options }: EvalOptions): string {
  const hash = createHash("sha256").update(JSON.stringify(options)).digest("hex");
  return join(cacheHome(), "eval", `${hash.slice(0, 16)}.jsonl`);
}

function defined(options: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function writeOutput(flags: Flags, name: string, content: string): void {
  const path = String(flags[name]);
  try {
    writeFileSync(path, content);
  } catch (cause) {
    throw unwritable(name, path, cause);
  }
}

function leftText(started: number, done: number, of: number): string {
  if (done === 0) return "";
  const seconds = (performance.now() - started) / 1000 / done * (of - done);
  return `about ${Math.ceil(seconds / 60)} min left`;
}

function tableOf({ rows }: EvalReport): string {
  const head = ["task", "tokens", "mode", "n", "recall", "lost", "KL mean", "95 %", "KL p99"]
    .concat(["KL max", "top-1", "guess right", "late rows", "mass", "lost mass", "near"]);
  return table([head, ...rows.map(cellsOf)]);
}

function cellsOf(row: EvalRow): string[] {
  const share = (value: number | null) => value === null ? "-" : `${(100 * value).toFixed(1)} %`;
  const small = (value: number) => value === 0 ? "0" : value.toPrecision(2);
  const ends = ({ low, high }: Interval) => `${small(low)}..${small(high)}`;
  return [
    ...[row.task, `${row.tokens}`, row.mode, `${row.n}`, share(row.recall), share(row.recallLost)],
    ...[small(row.klMean), ends(row.intervals.klMean), small(row.klP99), small(row.klMax)],
    ...[share(row.top1), share(row.guessRight), row.lateRows.toFixed(1)],
    ...[row.mass?.toFixed(3) ?? "-", row.lostMass?.toFixed(4) ?? "-", row.ratio.toFixed(4)],
  ];
}
