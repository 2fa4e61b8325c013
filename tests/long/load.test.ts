import { assertWhole, load } from "../clients/load.ts";
import { test } from "../harness.ts";

test("24 clients of 200 requests each: none is lost or mixed up, and memory comes back", async () => {
  assertWhole(await load({ clients: 24, requests: 200, seed: 2 }), 4800);
});
