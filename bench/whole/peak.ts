// peak.ts - how many floating-point operations a second this machine's threads do at the most.
import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { arch } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { SpecacheError } from "../../engine/errors.ts";
import { findCompiler } from "../../ffi/compiler.ts";
import { cacheHome } from "../../ffi/home.ts";
import { Rival } from "../peers/speed/rival.ts";

/** A program that multiplies and adds; the caller ends it. */
export async function peakProgram(threads: number): Promise<Rival> {
  const compiler = await findCompiler();
  if (compiler === null) throw new SpecacheError("unsupported", "Cannot build: no C++ compiler");
  const folder = join(cacheHome(), "bench-whole");
  await mkdir(folder, { recursive: true });
  const program = join(folder, "fma");
  const source = fileURLToPath(new URL("fma.cpp", import.meta.url));
  const machine = arch() === "x64" ? "-march=native" : "-mcpu=native";
  const flags = ["-std=c++20", "-O3", machine, "-mprefer-vector-width=512", "-Wno-psabi"];
  await promisify(execFile)(compiler.command, [
    ...flags.filter((flag) => arch() === "x64" || !flag.startsWith("-mprefer")),
    ...[source, "-pthread", "-o", program],
  ]);
  return new Rival(program, [`${threads}`], threads);
}

const TRIES = 8; // of 3 ms each: others take the cores for some of them

/** Operations a second, the most of several tries. */
export async function peakOf(program: Rival): Promise<number> {
  let most = 0;
  for (let i = 0; i < TRIES; i++) {
    most = Math.max(most, (await program.ask<{ flopsPerSecond: number }>(1)).flopsPerSecond);
  }
  return most;
}
