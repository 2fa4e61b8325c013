// What a first use builds, with an nvcc that only makes empty objects: device cuda where it is
// asked for, and nowhere else.
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { buildLibrary, ensureLibrary } from "../../ffi/ensure.ts";
import { hasDevice } from "../../ffi/library.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { Folder } from "../cli/command.ts";
import { assert, assertEquals, assertMatch, assertRejects, test } from "../harness.ts";
import { makeStub } from "./stub.ts";

// Writes each object's path into the file LOG.
const NVCC = `#!/bin/sh
case $1 in
  --version) echo release 12.4, V12.4 ;;
  --list-gpu-arch) echo compute_90 ;;
  *) for last; do :; done
     echo "$last" >> LOG
     echo | g++ -x c++ -fPIC -c - -o "$last" ;;
esac
`;

/** Sets an environment variable, or none, while `body` runs. */
async function withVariable(name: string, value: string | null, body: () => Promise<void> | void) {
  const before = process.env[name];
  const set = (to: string | null | undefined) => {
    if (to === null || to === undefined) delete process.env[name];
    else process.env[name] = to;
  };
  set(value);
  try {
    await body();
  } finally {
    set(before);
  }
}

interface Toolkit {
  readonly native: string;
  readonly output: string;
  readonly nvcc: string;
  /** Objects that nvcc made. */
  readonly compiled: () => number;
}

/** Runs `body` with a toolkit in CUDA_HOME, and sources that have device cuda. */
async function withToolkit(body: (toolkit: Toolkit) => Promise<void>): Promise<void> {
  using folder = new Folder();
  using stub = makeStub();
  const [home, log] = [folder.of("cuda"), folder.file("log", "")];
  const [nvcc, runtime] = [join(home, "bin/nvcc"), join(home, "lib64/libcudart_static.a")];
  for (const path of [nvcc, runtime]) mkdirSync(dirname(path), { recursive: true });
  writeFileSync(runtime, "!<arch>\n"); // an archive of nothing
  writeFileSync(nvcc, NVCC.replace("LOG", log));
  chmodSync(nvcc, 0o755);
  mkdirSync(join(stub.root, "cuda"));
  writeFileSync(join(stub.root, "cuda/scan.cu"), "");
  const [native, output] = [join(stub.root, "native"), join(stub.root, "build")];
  const compiled = () => readFileSync(log, "utf8").split("\n").length - 1;
  const run = () => body({ native, output, nvcc, compiled });
  await withVariable("CUDAARCHS", null, () => withVariable("CUDA_HOME", home, run));
}

test("buildLibrary() calls nvcc for device cuda alone, and keeps what the CPU's library had", () =>
  withToolkit(async ({ native, output, compiled }) => {
    const [said, files]: [string[], string[]] = [[], []];
    const listener = {
      notice: (sentence: string) => said.push(sentence),
      progress: (file: string) => files.push(file),
    };
    await buildLibrary({ native, output, ...listener });
    assertEquals([compiled(), files.length], [0, 4]);
    await buildLibrary({ native, output, device: "cuda", ...listener });
    assertEquals([compiled(), files.length], [1, 5]);
    const sentence = (duration: string) => `Building the native library (once; ${duration}) in `;
    assertEquals(said, [
      sentence("one to three minutes") + output,
      sentence("with device cuda, some minutes") + output,
    ]);
  }));

test("an nvcc that fails is told, for device cuda was asked for", () =>
  withToolkit(async ({ native, output, nvcc }) => {
    writeFileSync(nvcc, readFileSync(nvcc, "utf8").replace("*) ", "*) echo no >&2; exit 1; "));
    const asked = { native, output, device: "cuda" } as const;
    const error = await assertRejects(() => buildLibrary(asked), SpecacheError);
    assertEquals([error.code, error.message], ["device", "Cannot build libspecache: no"]);
  }));

test("where device cuda cannot be built the CPU's library is, and a sentence says so", async () => {
  using stub = makeStub(); // has no sources of device cuda
  const [native, output] = [join(stub.root, "native"), join(stub.root, "build")];
  const said: string[] = [];
  const notice = (sentence: string) => said.push(sentence);
  await buildLibrary({ native, output, device: "cuda", notice });
  assertEquals(said.length, 2);
  assertMatch(said[0], /^No device cuda is built: no nvcc was found \("specache toolchain nvcc"/);
  assertMatch(said[1], /^Building the native library \(once; /);
});

test("a library's name tells whether it has device cuda; SPECACHE_LIBRARY has all", async () => {
  await withVariable("SPECACHE_LIBRARY", null, () => {
    assert(hasDevice("/b/libspecache-cuda-0123456789abcdef.so", "cuda"));
    assert(!hasDevice("/b/libspecache-0123456789abcdef.so", "cuda"));
    assert(hasDevice("/b/libspecache-0123456789abcdef.so", "cpu"));
  });
  await withVariable("SPECACHE_LIBRARY", "/mine.so", () => assert(hasDevice("/mine.so", "cuda")));
});

test("ensureLibrary() says nothing where the library is built", async () => {
  const said: string[] = [];
  await ensureLibrary({ notice: (sentence) => said.push(sentence) });
  assertEquals(said, []);
});
