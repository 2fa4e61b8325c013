import { abiVersion } from "../../ffi/constants.ts";
import { spawnSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import process from "node:process";
import { SpecacheError } from "../../engine/errors.ts";
import { compileObjects } from "../../ffi/build.ts";
import { buildFolder, nativeFolder } from "../../ffi/library.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes, test } from "../harness.ts";
import { makeStub } from "./stub.ts";

const sets = process.arch === "arm64" ? 2 : 3; // instruction sets of this architecture

test("build() makes a kernel an object a set, any other source one, and no test", async () => {
  using stub = makeStub();
  const { library, tests } = await stub.build();
  const objects = readdirSync(dirname(library)).filter((name) => name.endsWith(".o"));
  assertEquals([objects.length, tests], [sets + 1, null]);
});

test("build() compiles what changed and nothing else", async () => {
  using stub = makeStub();
  const lines: string[] = [];
  const progress = (line: string) => lines.push(line);
  const first = await stub.build();
  assertEquals(await stub.build({ progress }), first);
  assertEquals(lines, []);
  stub.write("cpu/kernels/scan.cpp", "namespace SPECACHE_ISA { int scan() { return 2; } }\n");
  await stub.build({ progress });
  assertEquals(lines.length, sets);
  stub.write("specache.h", "#define VERSION 99\n");
  await stub.build({ progress });
  assertEquals(lines.length, sets + sets + 1);
});

test("build() of earlier sources makes their library the newest again", async () => {
  using stub = makeStub();
  const first = await stub.build();
  stub.write("specache.h", "#define VERSION 99\n");
  const second = await stub.build();
  stub.write("specache.h", `#define VERSION ${abiVersion}\n`);
  assertEquals(await stub.build(), first);
  assert(statSync(first.library).mtimeMs > statSync(second.library).mtimeMs);
});

// The compiler of this machine takes the flags of arm64, which name no instruction set.
test("build() for another architecture makes the objects of its sets", async () => {
  using stub = makeStub();
  const cross = { architecture: "arm64", compiler: process.env.CXX || "g++" } as const;
  const { library } = await stub.build({ cross });
  const objects = readdirSync(dirname(library)).filter((name) => name.endsWith(".o"));
  const names = objects.map((name) => name.split("-")[0]).sort();
  assertEquals(names, ["neon", "portable", "top"]);
});

test("build() refuses a warning by file and line", async () => {
  using stub = makeStub();
  stub.write("extra.cpp", "static int unused;\n");
  const error = await assertRejects(() => stub.build(), SpecacheError);
  assertEquals(error.code, "device");
  assertStringIncludes(error.message, "extra.cpp:1:12");
});

test("build() tells what does not compile, and builds once it is mended", async () => {
  using stub = makeStub();
  stub.write("extra.cpp", "int x = y;\n");
  const error = await assertRejects(() => stub.build(), SpecacheError);
  assertStringIncludes(error.message, "extra.cpp:1:9");
  stub.write("extra.cpp", "int x = 1;\n");
  await stub.build();
});

test("build() names what to install where there is no compiler", async () => {
  using stub = makeStub();
  const before = process.env.CXX;
  process.env.CXX = "/nowhere/g++";
  try {
    const error = await assertRejects(() => stub.build(), SpecacheError);
    assertEquals(error.code, "unsupported");
    assertStringIncludes(error.message, "(/nowhere/g++) was found");
    assertStringIncludes(error.message, "apt-get install g++");
  } finally {
    if (before === undefined) delete process.env.CXX;
    else process.env.CXX = before;
  }
});

test("build() with a sanitizer has a folder of its own", async () => {
  using stub = makeStub();
  const { library } = await stub.build({ sanitize: "address,undefined" });
  assert(dirname(library).endsWith("/build/address-undefined"));
});

test("build() links the tests with the library", async () => {
  using stub = makeStub();
  stub.write("extra.cpp", "int seven() { return 7; }\n");
  stub.write("tests/main.cpp", "int seven();\nint main() { return seven(); }\n");
  const { tests } = await stub.build({ tests: true });
  assert(tests !== null);
  assertEquals(spawnSync(tests).status, 7);
});

// A CPU without AVX-512 loads its kernels with the others: what ran then would end the process.
test("objects of an instruction set run nothing when the library is loaded", async () => {
  const compiled = await compileObjects({ native: nativeFolder(), output: buildFolder() });
  const objects = [...compiled].filter(([, source]) => /^cpu\/(kernels|amx)\//.test(source))
    .map(([object]) => object);
  assert(objects.some((name) => basename(name).startsWith("portable-scan-")));
  const { stdout, status } = spawnSync("nm", objects, { encoding: "utf8" });
  assertEquals(status, 0);
  assertEquals(stdout.split("\n").filter((line) => line.includes("_GLOBAL__sub_I")), []);
});
