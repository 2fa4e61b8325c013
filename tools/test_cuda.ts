// test_cuda.ts - builds the tests of CUDA code for the emulated device and runs them.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { buildProgram, listFiles } from "../cuda/emulator/build.ts";
import { fetchNvcc } from "./toolchain.ts";

const nvcc = await fetchNvcc();
const tests = "cuda/emulator/tests";
const root = process.cwd();
const programs = await buildProgram({
  nvcc,
  name: "right",
  sources: [...listFiles(join(root, tests), "_test.cu"), join(root, "native/tests/main.cpp")],
  include: [join(root, tests), join(root, "native/tests")],
  output: join(root, "build/cuda"),
  variants: ["plain", "address", "thread"],
  progress: console.log,
});
for (const program of programs) spawnSync(program, { stdio: "inherit" });
