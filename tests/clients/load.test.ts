import { test } from "../harness.ts";
import { assertWhole, load, servingLoad } from "./load.ts";

test("8 clients at once: no request is lost or mixed up, and memory comes back", () =>
  servingLoad(async (url) => {
    assertWhole(await load(url, { clients: 8, requests: 15, seed: 1 }), 120);
  }));
