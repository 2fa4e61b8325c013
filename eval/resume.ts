// resume.ts - finished documents on disk, one JSON line for each mode, so that a run that was
// stopped goes on. Files of several parts of one evaluation can be put together.
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { SpecacheError } from "../engine/errors.ts";
import type { ModelDescription } from "../engine/model/describe.ts";
import { modelHash } from "../engine/profile_store.ts";
import { refusedAs } from "../engine/system.ts";
import type { DocumentResult } from "./run.ts";

/** A result, and the hash of what it was made with. */
export interface ResultLine extends DocumentResult {
  readonly of: string;
}

/** Names what changes a document's results beside its task, length, seed and mode. */
export function runHash(
  description: ModelDescription,
  { steps, far, profile }: { steps?: number; far: string; profile?: string },
): string {
  const of = JSON.stringify([modelHash(description), steps, far, profile]);
  return createHash("sha256").update(of).digest("hex").slice(0, 16);
}

/** Names a document. */
export function keyOf({ task, tokens, seed }: { task: string; tokens: number; seed: number }) {
  return `${task} ${tokens} ${seed}`;
}

/**
 * Results by document of the modes named; a document that lacks one is left out, to run again.
 *
 * @throws {SpecacheError} file: it cannot be read; argument: it is of another model or options
 */
export function readResults(
  path: string,
  of: string,
  modes: readonly string[],
): Map<string, ResultLine[]> {
  const found = new Map<string, ResultLine[]>();
  if (!existsSync(path)) return found;
  const text = attempt("read", path, () => readFileSync(path, "utf8"));
  const refuse = (what: string): never => {
    const sentence = `Cannot go on with ${path}: ${what}; name another by --resume`;
    throw new SpecacheError("argument", sentence, { details: { path } });
  };
  for (const line of text.split("\n")) {
    // A line that was cut begins as they all do; anything else is somebody's own file.
    if (!/^(\{"|\{?$)/.test(line)) refuse("it is no file of results");
    const result = parsed(line);
    if (result === null) continue;
    if (result.of !== of) refuse("it holds results of another model or of other options");
    found.set(keyOf(result), [...found.get(keyOf(result)) ?? [], result]);
  }
  // A line that was cut must not swallow the next one.
  if (text !== "" && !text.endsWith("\n")) attempt("write", path, () => appendFileSync(path, "\n"));
  for (const [key, results] of found) {
    const own = modes.map((name) => results.find(({ mode }) => mode === name));
    if (own.includes(undefined)) found.delete(key);
    else found.set(key, own as ResultLine[]);
  }
  return found;
}

/**
 * Adds JSON lines to a file, which need not be there; no lines only see that it can be written.
 *
 * @throws {SpecacheError} file
 */
export function appendLines(path: string, lines: readonly unknown[]): void {
  attempt("write", path, () => {
    mkdirSync(dirname(path), { recursive: true });
    appendFileSync(path, lines.map((line) => JSON.stringify(line) + "\n").join(""));
  });
}

// The last line may be cut where a run was ended.
function parsed(line: string): ResultLine | null {
  try {
    return line === "" ? null : JSON.parse(line);
  } catch {
    return null;
  }
}

function attempt<Result>(what: "read" | "write", path: string, call: () => Result): Result {
  try {
    return call();
  } catch (cause) {
    const why = refusedAs(cause, what === "read" ? "read" : "written");
    throw new SpecacheError("file", `Cannot ${what} ${path}: it ${why}`, { cause });
  }
}
