import { AFFINITY_BYTES, AFFINITY_BYTES_MIN, affinityOf } from "../../edge/affinity.ts";
import { hashOf, Ring } from "../../edge/ring.ts";
import { assert, assertEquals, assertLess, assertNotEquals, test } from "../harness.ts";

const keys = Array.from({ length: 2000 }, (_, i) => hashOf(`key ${i}`));
const names = ["http://a", "http://b", "http://c", "http://d"];

test("Ring.from() lists every host once, whatever the key", () => {
  const ring = new Ring(names);
  for (const key of [0, 1, 2 ** 32 - 1, ...keys]) {
    assertEquals([...ring.from(key)].sort(), [0, 1, 2, 3]);
  }
  assertEquals(new Ring(["http://a"]).from(5), [0]);
});

test("Ring.from() gives each host its share of the keys", () => {
  const ring = new Ring(names);
  const counts = names.map((_, host) => keys.filter((key) => ring.from(key)[0] === host).length);
  // 128 points a host: a share has a deviation of 1 / sqrt(128), 9 %; four of them.
  for (const count of counts) assertLess(Math.abs(count / 500 - 1), 0.36, String(counts));
});

test("a host that comes takes keys from others, and moves none between them", () => {
  const before = new Ring(names.slice(0, 3));
  const after = new Ring(names);
  const moved = keys.filter((key) => before.from(key)[0] !== after.from(key)[0]);
  assert(moved.every((key) => after.from(key)[0] === 3));
  assertLess(Math.abs(moved.length / 500 - 1), 0.36);
});

test("a host that goes leaves its keys to the next ones, spread over all", () => {
  const ring = new Ring(names);
  const heirs = new Set(
    keys.map((key) => ring.from(key)).filter(([first]) => first === 0)
      .map(([, second]) => second),
  );
  assertEquals([...heirs].sort(), [1, 2, 3]);
});

test("places do not depend on the order of the hosts", () => {
  const [ring, turned] = [new Ring(names), new Ring([...names].reverse())];
  for (const key of keys) assertEquals(ring.from(key)[0], 3 - turned.from(key)[0]);
});

test("hashOf() is FNV-1a with MurmurHash3's end, of a text its UTF-8", () => {
  assertEquals(hashOf("é"), hashOf(new TextEncoder().encode("é")));
  // FNV-1a of no bytes is its offset; of "a" e40c292c; then fmix32 of either.
  assertEquals([hashOf(""), hashOf("a")], [mixed(0x811c9dc5), mixed(0xe40c292c)]);
  assertNotEquals(hashOf("a", 1), hashOf("a"));
});

function mixed(word: number): number {
  const step = (value: bigint, shift: bigint) => value ^ (value >> shift);
  const times = (value: bigint, by: bigint) => (value * by) & 0xffffffffn;
  const [first, second] = [0x85ebca6bn, 0xc2b2ae35n];
  return Number(step(times(step(times(step(BigInt(word), 16n), first), 13n), second), 16n));
}

const long = "x".repeat(AFFINITY_BYTES);

test("requests that begin alike have one affinity, whatever follows", () => {
  assertEquals(affinityOf({ prompt: `${long}a` }), affinityOf({ prompt: `${long}b` }));
  assertNotEquals(affinityOf({ prompt: `a${long}` }), affinityOf({ prompt: `b${long}` }));
  const ids = Array.from({ length: 300 }, (_, id) => id);
  assertEquals(affinityOf({ ids }), affinityOf({ ids: [...ids, 1] }));
  assertNotEquals(affinityOf({ ids }), affinityOf({ ids: [9, ...ids] }));
});

test("all turns of a conversation have one affinity, as short as its first message is", () => {
  const first = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Who was it?" },
  ] as const;
  const answer = { role: "assistant", content: long } as const;
  const turns = [
    [...first, answer],
    [...first, answer, { role: "user", content: "And then?" } as const],
  ];
  const [one, other] = turns.map((messages) => affinityOf({ messages }));
  assertEquals(one, other);
  assertNotEquals(one, null);
  const another = [first[0], { role: "user", content: "Where?" } as const, answer];
  assertNotEquals(one, affinityOf({ messages: another }));
});

test("salts part what begins alike", () => {
  const [one, other] = ["a", "b"].map((salt) => affinityOf({ prompt: long, salt }));
  assertNotEquals(one, other);
});

test("what is shorter than a page has no affinity", () => {
  const lengths = [AFFINITY_BYTES_MIN - 1, AFFINITY_BYTES_MIN, AFFINITY_BYTES_MIN + 1];
  const found = lengths.map((length) => affinityOf({ prompt: "x".repeat(length) }) !== null);
  assertEquals(found, [false, true, true]);
  const ids = (count: number) => Array.from({ length: count }, () => 7);
  assertEquals([affinityOf({ ids: ids(63) }), affinityOf({ ids: ids(64) }) === null], [
    null,
    false,
  ]);
  assertEquals(affinityOf({}), null);
});
