// Which nvcc is taken and what it is used for, with programs that only say what they are.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { findCuda } from "../../ffi/toolchain.ts";
import { nativeFolder } from "../../ffi/library.ts";
import { assertEquals, test } from "../harness.ts";

/** Finds CUDA in a toolkit of that release, which knows those architectures. */
async function found(known: readonly string[], runtime = "lib64") {
  const folder = mkdtempSync(join(tmpdir(), "specache-toolkit-"));
  const before = process.env.CUDA_HOME;
  try {
    const home = join(folder, "cuda-12.4");
    const nvcc = join(home, "bin", "nvcc");
    mkdirSync(join(home, "bin"), { recursive: true });
    mkdirSync(join(home, runtime), { recursive: true });
    writeFileSync(join(home, runtime, "libcudart_static.a"), "");
    const listed = known.map((name) => `echo compute_${name}`).join("; ");
    const answer = `case $1 in --version) echo release 12.4, V12.4;; *) ${listed};; esac`;
    writeFileSync(nvcc, `#!/bin/sh\n${answer}\n`);
    chmodSync(nvcc, 0o755);
    mkdirSync(join(folder, "linked", "bin"), { recursive: true });
    symlinkSync(nvcc, join(folder, "linked", "bin", "nvcc"));
    process.env.CUDA_HOME = join(folder, "linked");
    const cuda = await findCuda(nativeFolder());
    return cuda && { ...cuda, runtime: cuda.runtime.replace(home, "") };
  } finally {
    if (before === undefined) delete process.env.CUDA_HOME;
    else process.env.CUDA_HOME = before;
    rmSync(folder, { recursive: true, force: true });
  }
}

test("findCuda() asks nvcc what it knows, and goes by the toolkit behind a link", async () => {
  const cuda = await found(["50", "75", "80", "86", "90"]);
  assertEquals(cuda?.architectures, ["75", "80", "90"]);
  assertEquals(cuda?.runtime, "/lib64");
});

test("findCuda() finds none where nvcc makes no code for what specache runs on", async () => {
  assertEquals(await found(["50", "60"]), undefined);
});
