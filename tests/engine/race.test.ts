// Most tokens are taken out of a race by an upper bound: whoever wins still beats each alone.
import { race, wordOf } from "../../engine/sampling/race.ts";
import { assertEquals, assertGreater, test } from "../harness.ts";
import { randomNumbers } from "./kv.ts";

const VOCABULARY = 3_000;

for (const temperature of [0.05, 0.8, 2, 100]) {
  test(`who wins a race at temperature ${temperature} beats each other token alone`, () => {
    const logits = randomNumbers(VOCABULARY, 5).map((x) => 3 * x);
    logits.fill(-Infinity, 100, 200);
    const most = logits.reduce((a, b) => Math.max(a, b));
    const winners = new Set<number>();
    for (let position = 0; position < 40; position++) {
      const random = wordOf(11, position);
      const among = (ids: Uint32Array | null) => race({ logits, most, temperature, ids }, random);
      const winner = among(null);
      winners.add(winner);
      for (let id = 0; id < VOCABULARY; id++) {
        assertEquals(among(Uint32Array.of(winner, id)), winner);
        assertEquals(among(Uint32Array.of(id, winner)), winner);
      }
    }
    assertGreater(winners.size, 1);
  });
}
