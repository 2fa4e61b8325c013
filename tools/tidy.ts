// tidy.ts - the house rules that a program can check, over all files outside ignored folders:
// lengths of files, functions and lines, words that have no place in a file, and the C header
// against the tables of ffi/ and the symbols of the built library.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { findLibrary } from "../ffi/library.ts";
import { symbols } from "../ffi/symbols.ts";
import { functionLines } from "./functions.ts";
import { compareHeader, readHeader } from "./header.ts";
import { checkSources } from "./sources.ts";

export const FILE_LINES_MAX = 400;
export const FUNCTION_LINES_MAX = 70;
export const COLUMNS_MAX = 100;

const CODE = /\.(ts|js|cpp|h|cu|cuh)$/;
const TEXT = /\.(ts|js|cpp|h|cu|cuh|md|json|sh|yml|css|html)$|^\.ci\//;
const NOT_OURS = /^(models\/(needle|text)|tests\/golden)\//;
const HEADER = "native/specache.h";

// Written with brackets so that this file does not hold them.
const BANNED: readonly [RegExp, string][] = [
  [/\b(T[O]DO|F[I]XME|X[X]X)\b/, "is a note to oneself: do it, or open an issue"],
  [/\bsimpl[y]\b/i, "says nothing"],
  [/(?<![\w.])\/wor[k](?![\w-])/, "is a folder of one machine"],
  [/\.\.\/share[d]\b/, "is a folder of one machine"],
];

/** What is against the rules in the file `path` with this text: "path:line: sentence". */
export function checkText(path: string, text: string): string[] {
  const found: string[] = [];
  const report = (line: number, sentence: string) => found.push(`${path}:${line}: ${sentence}`);
  const lines = text.split("\n");
  const code = CODE.test(path);
  lines.forEach((line, index) => {
    if (/\s$/.test(line)) report(index + 1, "ends in a space");
    const columns = [...line].length;
    if (code && columns > COLUMNS_MAX) {
      report(index + 1, `${columns} columns are above ${COLUMNS_MAX}`);
    }
    for (const [pattern, sentence] of BANNED) {
      const word = line.match(pattern)?.[0];
      if (word !== undefined) report(index + 1, `"${word}" ${sentence}`);
    }
  });
  if (!code) return found;
  const count = lines.length - (lines.at(-1) === "" ? 1 : 0);
  if (count > FILE_LINES_MAX) report(count, `${count} lines are above ${FILE_LINES_MAX} of a file`);
  for (const { line, lines } of functionLines(text)) {
    if (lines > FUNCTION_LINES_MAX) {
      report(line, `${lines} lines are above ${FUNCTION_LINES_MAX} of a function`);
    }
  }
  return found;
}

/** What is amiss between the functions of ffi/ and those that a library gives away, as nm -D. */
export function checkExports(nm: string): string[] {
  const given = [...nm.matchAll(/ [TDBR] (\w+)$/gm)].map(([, name]) => name);
  return [
    ...Object.keys(symbols).filter((name) => !given.includes(name)).map((name) =>
      `${HEADER}:1: ${name} is not in the built library`
    ),
    ...given.filter((name) => !(name in symbols)).map((name) =>
      `${HEADER}:1: the built library gives away ${name}`
    ),
  ];
}

// All files, by walking: a copy of the sources need not be a git checkout.
function filesIn(folder: string): string[] {
  const ignored = readFileSync(".gitignore", "utf8").split("\n")
    .filter((line) => line.endsWith("/")).map((line) => line.slice(0, -1));
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = folder === "." ? entry.name : `${folder}/${entry.name}`;
    if (!entry.isDirectory()) return [path];
    return entry.name === ".git" || ignored.includes(entry.name) ? [] : filesIn(path);
  });
}

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`Cannot run ${command}: ${error?.message ?? stderr}`);
  return stdout;
}

function main(): void {
  const files = filesIn(".").filter((path) => TEXT.test(path) && !NOT_OURS.test(path));
  const found = [
    ...files.flatMap((path) => checkText(path, readFileSync(path, "utf8"))),
    ...compareHeader(readHeader(readFileSync(HEADER, "utf8"))).map((text) =>
      `${HEADER}:1: ${text}`
    ),
    ...checkSources(),
    ...checkExports(run("nm", ["-D", "--defined-only", findLibrary()])),
  ];
  for (const line of found) console.log(line);
  console.log(`${files.length} files, ${found.length} against the rules`);
  process.exitCode = found.length === 0 ? 0 : 1;
}

if (import.meta.main) main();
