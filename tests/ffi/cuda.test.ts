// Device cuda of the library that the gate builds, on a machine without a GPU: it loads, and
// answers with the runtime's own code and name.

import { findNvcc } from "../../ffi/toolchain.ts";
import { goldenModel } from "../parity/golden.ts";
import { openFull, openModel } from "../parity/run.ts";
import { errorOf } from "../engine/support.ts";
import { assertEquals, assertMatch, test } from "../harness.ts";

test("without a GPU device cuda answers with the runtime's code and name", async () => {
  const { path } = goldenModel("llama-plain");
  const error = await errorOf(() => openModel(path, 64, { device: "cuda" }).close());
  assertEquals(error.code, "device");
  const built = await findNvcc() !== null;
  assertMatch(
    error.message,
    built
      ? /^Cannot open a golden model: device cuda: CUDA error (35|100), cudaError[A-Z]\w+: \w/
      : /: device cuda is not in this library, which was built for the CPU alone$/,
  );
  openFull(path, 64).close();
});
