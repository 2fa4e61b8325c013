// stub.ts - a library of the same ABI that computes nothing, built in a folder of its own, so that
// building and loading are tested in a second and build/ stays as it is.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { build, type BuildOptions, type Built } from "../../ffi/build.ts";
import { abiVersion } from "../../ffi/constants.ts";
import { symbols } from "../../ffi/symbols.ts";

/** A folder with the sources of a stub; disposing removes it. */
export interface Stub extends Disposable {
  /** Holds `native` and `build`. */
  readonly root: string;
  /** Writes a source; `path` is below `native`. */
  write(path: string, text: string): void;
  build(options?: Partial<BuildOptions>): Promise<Built>;
}

/** The sentence that the stub's specache_error gives. */
export const sentence = "k 300 is above k_max 256";

/** Makes the sources of a stub whose library has ABI `version`. */
export function makeStub(version = abiVersion): Stub {
  const root = mkdtempSync(join(tmpdir(), "specache-stub-"));
  const [native, output] = [join(root, "native"), join(root, "build")];
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(native, path)), { recursive: true });
    writeFileSync(join(native, path), text);
  };
  write("specache.h", `#define VERSION ${version}\n`);
  write("abi.cpp", abiSource());
  write("cpu/kernels/scan.cpp", "namespace SPECACHE_ISA { int scan() { return 1; } }\n");
  write("tests/main.cpp", "int main() { return 0; }\n");
  return {
    root,
    write,
    build: (options) => build({ native, output, ...options }),
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}

// Every function but three answers its number of arguments; specache_cancel what it is given.
function abiSource(): string {
  const written = ["specache_abi_version", "specache_error", "specache_cancel"];
  const counted = Object.entries(symbols).filter(([name]) => !written.includes(name)).map((
    [name, { args, returns }],
  ) => `${returns === "u32" ? "uint32_t" : "int32_t"} ${name}() { return ${args.length}; }`);
  return [
    "#include <cstdint>",
    "#include <cstdio>",
    '#include "specache.h"',
    "#pragma GCC visibility push(default)",
    'extern "C" {',
    "uint32_t specache_abi_version() { return VERSION; }",
    "uint32_t specache_error(uint8_t *text, uint32_t bytes) {",
    `    return uint32_t(std::snprintf((char *)text, bytes, "${sentence}"));`,
    "}",
    "int32_t specache_cancel(uint64_t store) { return int32_t(store >> 40); }",
    ...counted,
    "}",
    "",
  ].join("\n");
}
