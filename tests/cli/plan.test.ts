import { assert, assertEquals, assertMatch, test } from "../harness.ts";
import { command, Folder, idsText, jsonOf, tiny } from "./command.ts";
import { profileBytes } from "./profile.ts";

const IDS = 200; // of the prompt; with 9 generated tokens, the last not held, 208 are held
const MAX_TOKENS = 9;
const HELD = IDS + MAX_TOKENS - 1;
const shape = "--layers 2 --kv-heads 2 --query-heads 4 --head-dim 16".split(" ");
const llama3 = "--layers 32 --kv-heads 8 --query-heads 32 --head-dim 128 --tokens 32768".split(" ");

// FAR stands for the path of a new file, PROFILE for that of a profile.
const settings: readonly string[] = [
  "--mode specache",
  "--mode full --kv-type f32",
  "--mode paper --group 32",
  "--mode paper --far FAR --k 16",
  "--key-bits 1 --value-bits 2 --k 8",
  "--far FAR",
  "--far FAR --rule paper --group 32",
  "--mode paper --rule rotated",
  "--far FAR --slots 32 --guesses 0",
  "--far FAR --guesses 3 --kv-type f16",
  "--profile PROFILE",
  "--profile PROFILE --value-bits 2 --far FAR",
];

for (const text of settings) {
  test(`plan ${text} gives the bytes of generate, and parts that sum to nearBytes`, async () => {
    using folder = new Folder();
    const profile = folder.file("profile", profileBytes({ layers: 2, kvHeads: 2, headDim: 16 }));
    const flags = text.replace("FAR", folder.of("far")).replace("PROFILE", profile).split(" ");
    const tokens = ["--tokens", `${HELD}`];
    const { model, cache } = await jsonOf(["plan", "--model", tiny, ...tokens, ...flags]);
    assertEquals(await jsonOf(["plan", ...shape, ...tokens, ...flags]), { model, cache });
    assertEquals(model, { layers: 2, kvHeads: 2, queryHeads: 4, headDim: 16 });

    const { work, profile: shared, ...own } = cache.parts;
    const sum = Object.values<number>(own).reduce((total, bytes) => total + bytes, 0);
    assertEquals(sum, cache.nearBytes);
    assert(work > 0);
    assertEquals(shared > 0, text.endsWith("PROFILE")); // a basis that is used

    const ids = ["--ids-file", folder.file("ids.json", idsText(IDS))];
    const lengths = ["--max-tokens", `${MAX_TOKENS}`, "--context", `${HELD}`];
    const ran = await jsonOf(["generate", "--model", tiny, ...ids, ...lengths, ...flags]);
    const bytes = ({ tokens, nearBytes, farBytes, fullBytes, ratio }: typeof cache) => {
      return { tokens, nearBytes, farBytes, fullBytes, ratio };
    };
    assertEquals(bytes(ran.cache), bytes(cache));
    assertEquals(cache.fullBytes, HELD * 2 * 2 * 2 * 16 * 2);
  });
}

test("plan --json has the documented fields", async () => {
  const { cache, model } = await jsonOf(["plan", ...llama3]);
  assertEquals(Object.keys(model), ["layers", "kvHeads", "queryHeads", "headDim"]);
  const bytes = ["nearBytes", "farBytes", "fullBytes", "ratio", "reservedBytes"];
  assertEquals(Object.keys(cache).sort(), [...bytes, "parts", "tokens"].sort());
  const parts = ["codes", "rows", "sinks", "window", "slots", "tables", "work", "profile"];
  assertEquals(Object.keys(cache.parts), parts);
  assertEquals(cache.ratio, cache.nearBytes / cache.fullBytes);
});

test("a Llama-3-8B at 32K with 1-bit keys and values is at most .09 of 16 bits", async () => {
  const bits = ["--key-bits", "1", "--value-bits", "1"];
  const { cache } = await jsonOf(["plan", ...llama3, ...bits]);
  assert(cache.ratio <= .09, `ratio ${cache.ratio} is above .09`);
});

test("8 heads of 128 at 32K with quarter-bit values are at most .095 of 16 bits", async () => {
  using folder = new Folder();
  const sizes = { layers: 2, kvHeads: 8, headDim: 128 };
  const profile = folder.file("profile", profileBytes(sizes));
  const flags = "--layers 2 --kv-heads 8 --query-heads 32 --head-dim 128 --key-bits 2".split(" ");
  const { cache } = await jsonOf(["plan", ...flags, "--tokens", "32768", "--profile", profile]);
  assert(cache.ratio <= .095, `ratio ${cache.ratio} is above .095`);
});

test("plan prints a table of parts with near, far and ratio", async () => {
  const { status, stdout, stderr } = await command(["plan", ...llama3]);
  assertEquals([status, stderr], [0, ""]);
  const rows = stdout.trimEnd().split("\n");
  for (const row of rows.slice(0, -1)) assertMatch(row, /^[\w, -]+? +\d+(\.\d+)? ([KMGT]i)?B$/);
  assertMatch(rows.at(-1)!, /^ratio +0\.1\d{3}$/);
  assert(rows.some((row) => row.startsWith("far, reserved")));
});
