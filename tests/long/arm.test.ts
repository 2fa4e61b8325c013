// The native tests for arm64 under emulation: every kernel of NEON and the portable ones, against
// the reference. Wants a cross compiler and qemu, which `deno task test:arm` names.
import { missingForArm, testArm } from "../../tools/test_arm.ts";
import { assertEquals, skip, test } from "../harness.ts";

const name = "all native tests pass on an emulated arm64 CPU";
const missing = missingForArm();
if (missing !== null) skip(name, missing);
else test(name, async () => assertEquals(await testArm([]), 0));
