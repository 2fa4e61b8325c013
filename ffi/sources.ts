// sources.ts - what libspecache is built from: each source with its flags, and a key that changes
// when the source, a header that it includes, or a flag does.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/** A sanitizer of g++ and clang++. */
export type Sanitize = "address,undefined" | "thread";

/** One object of the build. */
export interface Unit {
  /** Path of the source from the folder that holds `native`. */
  readonly source: string;
  readonly flags: readonly string[];
  /** Hash of source, headers and flags; the compiler is not in it. */
  readonly key: string;
  /** Bytes of the source, a guess of how long it takes. */
  readonly bytes: number;
}

const WARNINGS = ["-Wall", "-Wextra", "-Wno-psabi"];
const COMMON = ["-std=c++20", "-fPIC", "-fvisibility=hidden", "-pthread", ...WARNINGS];

const AVX2 = ["-mavx2", "-mfma", "-mf16c", "-mbmi2"];
const AVX512 = [...AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq"];

// A kernel source becomes three objects, each in a namespace of this name; device.cpp chooses.
const ISA_FLAGS: Readonly<Record<string, readonly string[]>> = {
  portable: [],
  avx2: AVX2,
  avx512: AVX512,
};
const KERNELS = join("native", "cpu", "kernels");
const TESTS = join("native", "tests");

/** The objects of the library, or of its tests, with `root` the folder that holds `native`. */
export function listUnits(
  root: string,
  part: "library" | "tests",
  sanitize: Sanitize | null,
): Unit[] {
  const optimize = sanitize
    ? ["-O1", "-g", "-fno-omit-frame-pointer", `-fsanitize=${sanitize}`]
    : ["-O3"];
  return sourcesIn(join(root, "native"), root)
    .filter((source) => source.startsWith(TESTS) === (part === "tests"))
    .flatMap((source) => {
      const flags = [...COMMON, ...optimize];
      if (dirname(source) !== KERNELS) return [unitOf(root, source, flags)];
      return Object.entries(ISA_FLAGS).map(([isa, isaFlags]) =>
        unitOf(root, source, [...flags, ...isaFlags, `-DSPECACHE_ISA=${isa}`])
      );
    });
}

/** One hash of all `units`. */
export function hashUnits(units: readonly Unit[]): string {
  const hash = createHash("sha1");
  for (const { source, key } of units) hash.update(`${source}\n${key}\n`);
  return hash.digest("hex");
}

function sourcesIn(folder: string, root: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => a.name < b.name ? -1 : 1)
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return sourcesIn(path, root);
      return entry.name.endsWith(".cpp") ? [relative(root, path)] : [];
    });
}

function unitOf(root: string, source: string, flags: readonly string[]): Unit {
  const path = join(root, source);
  const hash = createHash("sha256").update(JSON.stringify(flags));
  for (const file of [...withIncludes(path, new Set())].sort()) {
    hash.update(`${relative(root, file)}\n`).update(readFileSync(file));
  }
  return { source, flags, key: hash.digest("hex"), bytes: readFileSync(path).length };
}

// Includes in quotes are ours and relative to their file; those in brackets are the compiler's.
function withIncludes(file: string, found: Set<string>): Set<string> {
  if (found.has(file) || !existsSync(file)) return found;
  found.add(file);
  for (const [, name] of readFileSync(file, "utf8").matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)) {
    withIncludes(join(dirname(file), name), found);
  }
  return found;
}
