// toolchain.ts - prints the path of nvcc, fetched into the cache folder where there is none.
import process from "node:process";
import { SpecacheError } from "../engine/errors.ts";
import { fetchNvcc } from "../ffi/toolchain.ts";

try {
  console.log(await fetchNvcc());
} catch (error) {
  if (!(error instanceof SpecacheError)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
