// sources.ts - `deno task sources`: writes ffi/sources.ts, which imports every file that the native
// library is built from as text. tools/tidy.ts tells where it is out of date.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

/** The file that is written. */
export const SOURCES = "ffi/sources.ts";

const HEAD =
  `// sources.ts - the native sources as text, for a package that lies in no folder. Written by
// tools/sources.ts. To be imported by import() alone, see ensure.ts.
`;

/** All files that the library is built from, device cuda's too. */
export function sourceFiles(): string[] {
  const native = readdirSync("native", { recursive: true }) as string[];
  return [
    ...native.filter((name) => !name.startsWith("tests/")).map((name) => `native/${name}`),
    ...readdirSync("cuda").map((name) => `cuda/${name}`),
  ].filter((name) => /\.(h|cuh|cpp|cu)$/.test(name)).sort();
}

/** The module that imports these files. */
export function sourcesModule(files: readonly string[]): string {
  const imports = files.map((file) =>
    `import ${nameOf(file)} from "../${file}" with { type: "text" };\n`
  );
  const entries = files.map((file) => `  "${file}": ${nameOf(file)},\n`);
  return `${HEAD}${imports.join("")}
/** Text of each source, by its path in the package. */
export const sources: Readonly<Record<string, string>> = {
${entries.join("")}};
`;
}

/** What is amiss with the file that is there: "path:line: sentence". */
export function checkSources(): string[] {
  if (readFileSync(SOURCES, "utf8") === sourcesModule(sourceFiles())) return [];
  return [`${SOURCES}:1: is not what the files in native/ and cuda/ make it: deno task sources`];
}

// native/cpu/tables.h is cpuTablesH.
function nameOf(file: string): string {
  return file.replace(/^native\//, "").replace(/[^a-z0-9]+(.)/g, (_, next) => next.toUpperCase());
}

if (import.meta.main) writeFileSync(SOURCES, sourcesModule(sourceFiles()));
