// Which pages of kept texts leave first, by a store that is none: what a text's beginning was used
// for keeps no more of it than the beginning.
import { DecodeState } from "../../engine/decode_state.ts";
import type { NativeStore } from "../../engine/native.ts";
import { PAGE_TOKENS, Prefixes } from "../../engine/prefixes.ts";
import { assertEquals, test } from "../harness.ts";

const PAGES = 4;
const TOKENS = PAGES * PAGE_TOKENS;

/** Prefixes over sequences of any number, and texts that were read. */
function keeping() {
  let sequences = 0n;
  const open = new Set<bigint>();
  const store = {
    fork: () => (open.add(++sequences), sequences),
    truncate() {},
    closeSequence: (sequence: bigint) => void open.delete(sequence),
  };
  const text = (ids: readonly number[]) => {
    const state = new DecodeState(store.fork());
    state.ask(ids);
    state.unread = [];
    state.read(ids.length);
    return state;
  };
  const options = { most: 8, reuse: "prompt" } as const;
  const prefixes = new Prefixes(store as unknown as NativeStore, options, () => []);
  return { prefixes, text, open };
}

const idsOf = (text: number) => Array.from({ length: TOKENS }, (_, at) => 1000 * text + at);

test("a beginning that is used again stays, the end behind it leaves by its own last use", () => {
  const { prefixes, text, open } = keeping();
  for (const each of [1, 2]) prefixes.keep(text(idsOf(each)), "");
  const begun = idsOf(1).slice(0, TOKENS / 2);
  const beginning = prefixes.fork("", [...begun, 7, 7])!;
  assertEquals(beginning.state.length, TOKENS / 2);
  beginning.use();
  prefixes.keep(beginning.state, ""); // says nothing new
  const left = [];
  while (prefixes.evict()) left.push([prefixes.counts.evictedPages, prefixes.counts.kept]);
  // The end of 1, all of 2, the beginning of 1.
  assertEquals(left, [[PAGES / 2, 2], [PAGES * 1.5, 1], [PAGES * 2, 0]]);
  assertEquals(open.size, 0);
});

test("a text that was only looked at, and not let in, stays no longer for it", () => {
  const { prefixes, text } = keeping();
  for (const each of [1, 2]) prefixes.keep(text(idsOf(each)), "");
  prefixes.fork("", [...idsOf(1), 7]);
  prefixes.evict();
  assertEquals([prefixes.fork("", [...idsOf(1), 7]), prefixes.counts.kept], [null, 1]);
});

test("as many texts as may are kept; behind them the one used least recently leaves whole", () => {
  const { prefixes, text, open } = keeping();
  for (let each = 1; each <= 8; each++) prefixes.keep(text(idsOf(each)), "");
  assertEquals([prefixes.counts.kept, prefixes.counts.evictedPages], [8, 0]);
  prefixes.keep(text(idsOf(9)), "");
  assertEquals([prefixes.counts.kept, prefixes.counts.evictedPages, open.size], [8, PAGES, 8]);
  assertEquals(prefixes.fork("", [...idsOf(1), 7]), null);
  assertEquals(prefixes.fork("", [...idsOf(2), 7])!.state.length, TOKENS);
});
