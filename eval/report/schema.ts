// schema.ts - reads a report back from the JSON that `specache eval --output` writes.
import { readFileSync } from "node:fs";
import { z } from "zod";
import { SpecacheError } from "../../engine/errors.ts";
import { refusedAs } from "../../engine/system.ts";
import { parse } from "../../engine/parse.ts";
import type { EvalReport } from "../rows.ts";

const count = z.int().min(0);
const maybe = z.number().nullable();
const interval = z.object({ low: z.number(), high: z.number() });

const row = z.object({
  ...{ task: z.string(), tokens: count, mode: z.string(), n: count },
  ...{ recall: maybe, recallLost: maybe },
  ...{ klMean: z.number(), klP99: z.number(), klMax: z.number(), top1: z.number() },
  perplexity: z.number(),
  guessRight: maybe,
  guessRightBySource: z.object({ chain: maybe, lookup: maybe }),
  ...{ mass: maybe, lostMass: maybe, ratio: z.number(), nearBytes: z.number() },
  ...{ tokensPerStep: z.number(), prefetchedRows: z.number(), lateRows: z.number() },
  intervals: z.object({
    ...{ recall: interval.nullable(), recallLost: interval.nullable() },
    ...{ klMean: interval, top1: interval, perplexity: interval },
  }),
});

const place = z.object({
  ...{ task: z.string(), mode: z.string(), tokens: count },
  ...{ depth: z.number().min(0).max(1), recalled: z.boolean(), klMean: z.number() },
});

const head = z.object({
  ...{ mode: z.string(), layer: count, head: count, mass: maybe },
  ...{ lostMass: z.number(), outputError: z.number() },
});

const schema: z.ZodType<EvalReport> = z.object({
  ...{ model: z.string(), seed: z.int() },
  ...{ rows: z.array(row), places: z.array(place), heads: z.array(head) },
});

/**
 * The report in a file.
 *
 * @throws {SpecacheError} `argument`, without a path or naming the field at fault; `file`, if it
 * cannot be read or is not JSON
 */
export function readReport(path: string | undefined): EvalReport {
  if (path === undefined) {
    throw new SpecacheError("argument", "Cannot report: FILE.json is missing");
  }
  return parse(schema, json(path), `read ${path}`);
}

function json(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    const why = cause instanceof SyntaxError ? "is not JSON" : refusedAs(cause, "read");
    throw new SpecacheError("file", `Cannot read ${path}: it ${why}`, { cause });
  }
}
