// The C++ compiler that a machine without one fetches: really fetched, and used. Wants Python 3
// with pip, the package index, and 500 MB in the folder for temporary files.
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import process from "node:process";
import { findCompiler } from "../../ffi/compiler.ts";
import { openLibrary } from "../../ffi/library.ts";
import { Folder, spawned } from "../cli/command.ts";
import { makeStub } from "../ffi/stub.ts";
import { assert, assertEquals, test } from "../harness.ts";

test("a machine with Python alone fetches a compiler, whose library loads", async () => {
  const python = ["-c", "import sys; print(sys.executable)"];
  const { stdout } = spawnSync("python3", python, { encoding: "utf8" });
  using folder = new Folder();
  using stub = makeStub();
  const bin = folder.of("bin");
  mkdirSync(bin);
  writeFileSync(`${bin}/python3`, `#!/bin/sh\nexec ${stdout.trim()} "$@"\n`);
  chmodSync(`${bin}/python3`, 0o755);
  const environment = { PATH: bin, SPECACHE_HOME: folder.of("home"), CXX: "" };
  const before = Object.keys(environment).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, environment);
  try {
    const { status, stdout } = await spawned("main.ts", ["toolchain", "c++"]);
    const command = `${folder.of("home")}/ziglang-0.17.1/c++`;
    assertEquals([status, stdout], [0, `${command}\n`]);
    const found = await findCompiler();
    assertEquals([found?.command, found?.fetched], [command, true]);
    const { library } = await stub.build();
    using opened = openLibrary(library);
    assert(opened.symbols.specache_threads() >= 0);
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
});
