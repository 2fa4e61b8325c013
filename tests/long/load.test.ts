import { assertWhole, load } from "../clients/load.ts";
import { test } from "../harness.ts";

test("24 clients, 200 requests each: none lost, none mixed up, and memory comes back", async () => {
  assertWhole(await load({ clients: 24, requests: 200, seed: 2 }), 4800);
});
