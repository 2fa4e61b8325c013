import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { SpecacheError } from "../../engine/errors.ts";
import { abiVersion, statuses } from "../../ffi/constants.ts";
import { findLibrary, openLibrary } from "../../ffi/library.ts";
import { assertEquals, assertStringIncludes, assertThrows, test } from "../harness.ts";
import { makeStub, sentence, type Stub } from "./stub.ts";

/** Runs `body` with a stub and its built library. */
async function withStub(body: (path: string, stub: Stub) => void, version?: number): Promise<void> {
  using stub = makeStub(version);
  body((await stub.build()).library, stub);
}

test("openLibrary() passes handles of 64 bits, numbers, buffers and null", () =>
  withStub((path) => {
    using library = openLibrary(path);
    const { symbols } = library;
    assertEquals(symbols.specache_threads(), 0);
    assertEquals(symbols.specache_cancel(3n * 2n ** 40n + 1n), 3);
    const [handles, floats] = [new BigUint64Array(1), new Float32Array(4)];
    assertEquals(symbols.specache_sequence_open(1n, handles), 2);
    assertEquals(symbols.specache_append(1n, 2n, 0, 1, null, floats, floats, null), 8);
  }));

test("check() accepts ok and throws every other status by its code, in options' names", () =>
  withStub((path) => {
    using library = openLibrary(path);
    library.check("open a store", statuses.ok);
    for (const [code, status] of Object.entries(statuses)) {
      if (status === statuses.ok) continue;
      const error = assertThrows(() => library.check("open a store", status), SpecacheError);
      assertEquals(String(error.code), code);
      assertEquals(error.message, `Cannot open a store: ${sentence.replace("k_max", "kMax")}`);
    }
  }));

test("a library can be closed twice", () =>
  withStub((path) => {
    const library = openLibrary(path);
    library.close();
    library.close();
  }));

test("openLibrary() refuses another ABI version with both numbers", () =>
  withStub((path) => {
    const error = assertThrows(() => openLibrary(path), SpecacheError);
    assertEquals(error.details, { path, version: abiVersion + 1, abiVersion });
  }, abiVersion + 1));

test("openLibrary() refuses a missing file and a text file by their paths", () =>
  withStub((_path, { root }) => {
    const [missing, text] = [join(root, "none.so"), join(root, "text.so")];
    writeFileSync(text, "not a library");
    for (const path of [missing, text]) {
      const error = assertThrows(() => openLibrary(path), SpecacheError);
      assertEquals(error.code, "device");
      assertStringIncludes(error.message, path);
    }
  }));

test("findLibrary() takes the library that SPECACHE_LIBRARY names", () => {
  const before = process.env.SPECACHE_LIBRARY;
  process.env.SPECACHE_LIBRARY = "/somewhere/libspecache.so";
  try {
    assertEquals(findLibrary(), "/somewhere/libspecache.so");
  } finally {
    if (before === undefined) delete process.env.SPECACHE_LIBRARY;
    else process.env.SPECACHE_LIBRARY = before;
  }
});
