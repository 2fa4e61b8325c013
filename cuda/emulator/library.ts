// library.ts - libspecache whose device cuda is the emulated one, for the engine's tests.
import { dirname, join } from "node:path";
import { build } from "../../ffi/build.ts";
import { buildFolder, nativeFolder } from "../../ffi/library.ts";
import { buildProgram, listFiles } from "./build.ts";

/** The library's objects but for the devices that it has. */
export async function nativeObjects(): Promise<string[]> {
  const { objects } = await build({ native: nativeFolder(), output: buildFolder() });
  return objects.filter((path) => !path.includes("top-devices-"));
}

/** The .cu files of the product. */
export function kernelSources(): string[] {
  const cuda = join(nativeFolder(), "..", "cuda");
  return listFiles(cuda, ".cu").filter((path) => dirname(path) === cuda);
}

/** Builds it; the path. */
export async function buildEmulated(nvcc: string): Promise<string> {
  const native = nativeFolder();
  const cuda = join(native, "..", "cuda");
  const [library] = await buildProgram({
    nvcc,
    name: "libspecache",
    sources: [
      ...kernelSources(),
      join(native, "devices.cpp"),
    ],
    include: [cuda, native],
    output: join(buildFolder(), "cuda"),
    variants: ["plain"],
    defines: ["SPECACHE_CUDA", 'SPECACHE_NEAR="../../cuda/tests/near.h"'],
    objects: await nativeObjects(),
    shared: true,
  });
  return library;
}
