// Which nvcc is taken and what it is used for, with programs that only say what they are.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { findCuda } from "../../ffi/toolchain.ts";
import { nativeFolder } from "../../ffi/library.ts";
import { assertEquals, test } from "../harness.ts";
import { assertRefused } from "../engine/support.ts";

/** Finds CUDA in a toolkit of that release, which knows those architectures; `names`: CUDAARCHS. */
async function found(known: readonly string[], names?: string, runtime = "lib64") {
  const folder = mkdtempSync(join(tmpdir(), "specache-toolkit-"));
  const { CUDA_HOME, CUDAARCHS } = process.env;
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
    setVariables({ CUDA_HOME: join(folder, "linked"), CUDAARCHS: names });
    const cuda = await findCuda(nativeFolder());
    return cuda && { ...cuda, runtime: cuda.runtime.replace(home, "") };
  } finally {
    setVariables({ CUDA_HOME, CUDAARCHS });
    rmSync(folder, { recursive: true, force: true });
  }
}

function setVariables(variables: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
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

test("CUDAARCHS names what machine code is made for", async () => {
  const known = ["50", "75", "80", "86", "90"];
  assertEquals((await found(known, "86"))?.architectures, ["86"]);
  assertEquals((await found(known, "90;75;90"))?.architectures, ["75", "90"]);
  assertEquals((await found(known, ""))?.architectures, ["75", "80", "90"]);
  for (const [names, strange] of [["50", "50"], ["90;91", "91"], ["native", "native"], [";", ""]]) {
    const sentence = `Cannot build device cuda: "${strange}" of CUDAARCHS=${names} is none of ` +
      "75, 80, 86, 90";
    await assertRefused(() => found(known, names), "argument", sentence);
  }
});
