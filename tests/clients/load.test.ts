import { test } from "../harness.ts";
import { assertWhole, load } from "./load.ts";

test("8 clients at once: no request is lost or mixed up, and memory comes back", async () => {
  assertWhole(await load({ clients: 8, requests: 15, seed: 1 }), 120);
});
