// The native tests for arm64 under emulation: every kernel of NEON and the portable ones, against
// the reference. Wants a cross compiler and qemu, which `deno task test:arm` names where they are
// not there.
import { testArm } from "../../tools/test_arm.ts";
import { assertEquals, test } from "../harness.ts";

test("all native tests pass on an emulated arm64 CPU", async () => {
  assertEquals(await testArm([]), 0);
});
