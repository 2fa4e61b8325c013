// The native tests under g++'s sanitizers: no byte outside its buffer, no undefined behaviour, no
// race between the compute threads and the I/O thread.

import { testCuda } from "../../tools/test_cuda.ts";
import { testNative } from "../../tools/test_native.ts";
import { assertEquals, test } from "../harness.ts";

test("all native tests run clean under the address and undefined sanitizers", async () => {
  assertEquals(await testNative("address,undefined", []), 0);
});

// Kernels are compared with the reference on one thread: there is nothing to race with.
const threaded = [
  "identity_test",
  "overlap_test",
  "at_work_test",
  "recovery_test",
  "refusal_test",
  "slots_test",
  "of threads",
];

test("the native tests of streams and threads run clean under the thread sanitizer", async () => {
  assertEquals(await testNative("thread", threaded), 0);
});

test("the CUDA kernels run clean under both sanitizers on the emulated device", async () => {
  assertEquals(await testCuda(["--sanitize", "CUDA", "device cuda", "record", "fetch"]), true);
});
