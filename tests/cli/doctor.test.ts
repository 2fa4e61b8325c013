// What the doctor finds on this machine, and what it makes of machines that lack something.
import process from "node:process";
import { answerOf, type CudaAnswer, meaningOf, ramOf } from "../../cli/doctor/machine.ts";
import { type Findings, problemsOf } from "../../cli/doctor/report.ts";
import { assert, assertEquals, assertMatch, runtime, test } from "../harness.ts";
import { command, Folder, jsonOf } from "./command.ts";

const code35 = "Cannot open device cuda: device cuda: CUDA error 35, " +
  "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version";
const noDriver: CudaAnswer = {
  ...{ built: true, gpu: null, message: code35 },
  ...{ code: 35, name: "cudaErrorInsufficientDriver" },
};
const withoutNvcc: CudaAnswer = {
  ...{ built: false, gpu: null, code: null, name: null },
  message: "Cannot open device cuda: device cuda is not in this library, which was built for " +
    "the CPU alone",
};

const whole: Findings = {
  runtime: { name: "deno", version: "2.9.6" },
  platform: "linux x64",
  compiler: { command: "g++", path: "/usr/bin/g++", version: "g++ 12", fetched: false },
  library: { path: "/build/libspecache.so", error: null },
  isa: "avx2",
  threads: 8,
  nvcc: null,
  gpu: false,
  cuda: withoutNvcc,
  ram: { totalBytes: 2 ** 34, availableBytes: 2 ** 33 },
  memoryBytesPerSecond: 1e10,
  cache: { folder: "/cache", disk: { freeBytes: 2 ** 36, readBytesPerSecond: null }, error: null },
  calls: { call: 5, bufferCall: 20 },
};

test("nothing is amiss where the CPU has all it needs, with or without device cuda", () => {
  assertEquals(problemsOf(whole), []);
  assertEquals(problemsOf({ ...whole, cuda: noDriver, nvcc: "/nvcc" }), []);
});

const noLibrary = { library: { path: null, error: "Cannot load libspecache: no" }, cuda: null };

// What differs from the whole machine; whether it is needed; the sentence; what to do.
type Row = readonly [Partial<Findings>, needed: boolean, sentence: RegExp, todo: RegExp];
const lacking: readonly Row[] = [
  [{ runtime: { name: "deno", version: "1.46.3" } }, true, /^deno 1\.46\.3 is older/, /deno upg/],
  [
    { runtime: { name: "bun", version: "1.2.9" } },
    true,
    /^bun 1\.2\.9 is older than 1\.3$/,
    /^bun/,
  ],
  [{ platform: "darwin arm64" }, true, /^darwin arm64 is neither linux x64 nor linux arm64/, /L/],
  [{ compiler: null }, false, /no C\+\+ compiler, which only the next build/, /apt-get install g/],
  [{ compiler: null, ...noLibrary }, true, /^there is no C\+\+ compiler$/, /specache toolchain c/],
  [noLibrary, true, /^the library does not work: Cannot load libspecache: no$/, /deno task build/],
  [{ isa: "portable" }, false, /no AVX2/, /virtual machine/],
  [
    { platform: "linux arm64", isa: "neon" },
    false,
    /tested under emulation alone, never on a CPU$/,
    /deno task test:native/,
  ],
  [
    { gpu: true },
    false,
    /built without device cuda$/,
    /^specache toolchain nvcc .*--device cuda builds it/,
  ],
  [
    { gpu: true, nvcc: "/nvcc" },
    false,
    /built without device cuda$/,
    /^--device cuda builds it, some minutes$/,
  ],
  [{ gpu: true, cuda: noDriver }, false, /answers 35 cudaErrorInsufficientDriver: the dri/, /580/],
  [
    { gpu: true, cuda: { ...noDriver, code: null, name: null, message: "GPU is too old" } },
    ...[false, /^GPU is too old$/, /device cpu$/] as const,
  ],
  [{ ram: { totalBytes: 2 ** 31, availableBytes: 2 ** 29 } }, false, /RAM/, /--far FILE/],
  [
    { cache: { folder: "/c", disk: { freeBytes: 9, readBytesPerSecond: null }, error: null } },
    ...[false, /^less than 1 GiB is free in \/c$/, /specache rm/] as const,
  ],
  [
    { cache: { folder: "/c", disk: null, error: "EACCES" } },
    ...[true, /cannot be used: EACCES$/, /SPECACHE_HOME$/] as const,
  ],
];

for (const [differs, needed, sentence, todo] of lacking) {
  test(`doctor says what to do: ${sentence.source}, ${todo.source}`, () => {
    const [problem, ...more] = problemsOf({ ...whole, ...differs });
    assertEquals([problem.needed, more], [needed, []]);
    assertMatch(problem.sentence, sentence);
    assertMatch(problem.todo, todo);
    assert(!`${problem.sentence}${problem.todo}`.includes("\n"));
  });
}

test("the library's words on device cuda are read, with code and name", () => {
  assertEquals(answerOf(code35), noDriver);
  assertEquals(answerOf(withoutNvcc.message!), withoutNvcc);
  const unknown = answerOf("Cannot open device cuda: device cuda: the driver knows of no GPU");
  assertEquals([unknown.built, unknown.code], [true, null]);
  assertMatch(meaningOf(35).meaning, /driver is missing, or older than the library wants/);
  assertMatch(meaningOf(12345).meaning, /nothing that specache knows of/);
});

test("RAM that is available is not above all", () => {
  const { totalBytes, availableBytes } = ramOf();
  assert(availableBytes > 0 && availableBytes <= totalBytes);
});

test("doctor measures this machine, and leaves nothing in the cache folder", async () => {
  using folder = new Folder();
  const before = process.env.SPECACHE_HOME;
  process.env.SPECACHE_HOME = folder.of("home");
  try {
    const found = await jsonOf(["doctor"]);
    assertEquals(found.ok, true);
    assertEquals(found.runtime.name, runtime);
    assert(["portable", "avx2", "avx512", "neon", "amx"].includes(found.isa));
    assert(found.threads >= 1);
    assert(found.memoryBytesPerSecond > 0 && found.calls.call > 0 && found.calls.bufferCall > 0);
    assert(found.cache.disk.freeBytes > 0);
    assertEquals(found.cache.folder, folder.of("home"));
    const { status, stdout } = await command(["doctor"]);
    assertEquals(status, 0);
    for (const row of ["runtime", "C\\+\\+ compiler", "device cuda", "RAM", "a call"]) {
      assertMatch(stdout, new RegExp(`^${row} +\\S`, "m"));
    }
  } finally {
    if (before === undefined) delete process.env.SPECACHE_HOME;
    else process.env.SPECACHE_HOME = before;
  }
});

test("doctor exits with 1 and no stack without library and cache folder", async () => {
  using folder = new Folder();
  const names = ["SPECACHE_LIBRARY", "SPECACHE_HOME"] as const;
  const before = names.map((name) => process.env[name]);
  process.env.SPECACHE_LIBRARY = folder.of("none.so");
  process.env.SPECACHE_HOME = folder.file("file", "");
  try {
    const { status, stdout, stderr } = await command(["doctor"]);
    assertEquals([status, stderr], [1, ""]);
    assertMatch(stdout, /^Missing: the library does not work: Cannot load libspecache/m);
    assertMatch(stdout, /^Missing: the cache folder cannot be used: /m);
    assert(!/^ +at /m.test(stdout));
    const { status: same, stdout: json } = await command(["doctor", "--json"]);
    assertEquals([same, JSON.parse(json).ok], [1, false]);
  } finally {
    names.forEach((name, at) => {
      if (before[at] === undefined) delete process.env[name];
      else process.env[name] = before[at];
    });
  }
});
