import { readdirSync } from "node:fs";
import { assert, assertEquals, assertGreater, assertMatch, test } from "../harness.ts";
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
    const asked = ["--tokens", `${HELD}`, "--no-measure", ...flags];
    const planned = await jsonOf(["plan", "--model", tiny, ...asked]);
    assertEquals(await jsonOf(["plan", ...shape, ...asked]), planned);
    const { model, cache, fit, predicted } = planned;
    assertEquals([fit, predicted], [null, null]);
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
  const planned = await jsonOf(["plan", ...llama3, "--no-measure"]);
  const { cache, model } = planned;
  assertEquals(Object.keys(planned), ["model", "cache", "fit", "predicted"]);
  assertEquals(Object.keys(model), ["layers", "kvHeads", "queryHeads", "headDim"]);
  const bytes = ["nearBytes", "farBytes", "fullBytes", "ratio", "reservedBytes"];
  assertEquals(Object.keys(cache).sort(), [...bytes, "parts", "tokens"].sort());
  const parts = ["codes", "rows", "sinks", "window", "slots", "tables", "work", "profile"];
  assertEquals(Object.keys(cache.parts), parts);
  assertEquals(cache.ratio, cache.nearBytes / cache.fullBytes);
});

test("a Llama-3-8B at 32K with 1-bit keys and values is at most .09 of 16 bits", async () => {
  const bits = ["--key-bits", "1", "--value-bits", "1"];
  const { cache } = await jsonOf(["plan", ...llama3, ...bits, "--no-measure"]);
  assert(cache.ratio <= .09, `ratio ${cache.ratio} is above .09`);
});

test("8 heads of 128 at 32K with quarter-bit values are at most .095 of 16 bits", async () => {
  using folder = new Folder();
  const sizes = { layers: 2, kvHeads: 8, headDim: 128 };
  const profile = folder.file("profile", profileBytes(sizes));
  const flags = "--layers 2 --kv-heads 8 --query-heads 32 --head-dim 128 --key-bits 2".split(" ");
  const tokens = ["--tokens", "32768", "--no-measure"];
  const { cache } = await jsonOf(["plan", ...flags, ...tokens, "--profile", profile]);
  assert(cache.ratio <= .095, `ratio ${cache.ratio} is above .095`);
});

test("plan prints a table of parts with near, far and ratio", async () => {
  const { status, stdout, stderr } = await command(["plan", ...llama3, "--no-measure"]);
  assertEquals([status, stderr], [0, ""]);
  const rows = stdout.trimEnd().split("\n");
  for (const row of rows.slice(0, -1)) assertMatch(row, /^[\w, -]+? +\d+(\.\d+)? ([KMGT]i)?B$/);
  assertMatch(rows.at(-1)!, /^ratio +0\.1\d{3}$/);
  assert(rows.some((row) => row.startsWith("far, reserved")));
});

const few = [...shape, "--tokens", "300"];

test("plan predicts a step and a prefill, and says what they were measured on", async () => {
  const auto = [...few, "--profile", "auto"];
  for (const args of [["--model", tiny, "--tokens", "300"], few, auto]) {
    const { predicted } = await jsonOf(["plan", ...args]);
    assertGreater(predicted.stepMs, 0);
    assertGreater(predicted.prefillMs, 0);
    assertGreater(predicted.measuredSeconds, 0);
    assert(predicted.threads >= 1);
    assertEquals([predicted.tokens, predicted.inputs], [300, 1]);
    assertEquals(predicted.weights === null, args[0] !== "--model");
    assertGreater(predicted.cache.bytesPerSecond, 0);
    const { stdout } = await command(["plan", ...args]);
    assertMatch(
      stdout,
      /^predicted from what was measured here just now, for \d+\.\d s on \d+ thr/m,
    );
    assertMatch(stdout, /^a step +\d+(\.\d+)? ms {3}[\d.]+ tokens a second$/m);
  }
});

for (const mode of ["full", "paper", "specache"]) {
  test(`plan predicts mode ${mode}, in RAM and in a file, and leaves nothing behind`, async () => {
    using folder = new Folder();
    const inputs = { ram: mode === "paper" ? 2 : 1, file: mode === "full" ? 1 : 2 };
    const args = ["plan", ...few, "--mode", mode];
    const ram = await jsonOf(args);
    const file = await jsonOf([...args, "--far", folder.of("far")]);
    assertEquals([ram.predicted.inputs, file.predicted.inputs], [inputs.ram, inputs.file]);
    assertEquals(readdirSync(folder.path), []);
  });
}

test("plan of given weights tells their bytes", async () => {
  const weights = ["--weights-bytes", "123456789", "--weights-type", "q4_1"];
  const { predicted } = await jsonOf(["plan", ...few, ...weights]);
  assertEquals(predicted.weights.bytes, 123456789);
  assertGreater(predicted.weights.bytesPerSecond, 0);
});

test("plan of a device that this library lacks says why it has no times", async () => {
  const { cache, predicted, notPredicted } = await jsonOf(["plan", ...few, "--device", "cuda"]);
  if (predicted !== null) return; // there is a GPU
  assertGreater(cache.nearBytes, 0);
  assertMatch(notPredicted, /^Cannot measure attention: --device cuda/);
});

test("plan of a far file in a folder that is not there says why it has no times", async () => {
  using folder = new Folder();
  const { predicted, notPredicted } = await jsonOf(["plan", ...few, "--far", folder.of("no/far")]);
  assertEquals(predicted, null);
  assertMatch(notPredicted, /^Cannot measure attention: .+\/no does not exist$/);
});

test("plan against budgets tells the longest text that fits, to the token", async () => {
  const budget = async (args: readonly string[], tokens: number) => {
    const { cache, fit } = await jsonOf(["plan", ...shape, ...args, "--tokens", `${tokens}`]);
    return { cache, fit };
  };
  const free = ["--no-measure"];
  const { cache } = await budget(free, 10_000);
  for (const flag of [`--near=${cache.reservedBytes}`, `--far-bytes=${cache.farBytes}`]) {
    const { fit } = await budget([...free, flag], 99_999);
    assert(fit.longest >= 10_000 && fit.changes !== null);
    assertEquals((await budget([...free, flag], fit.longest)).fit.changes, null);
    assert((await budget([...free, flag], fit.longest + 1)).fit.changes !== null);
  }
});

test("plan names changes that fit, and each of them does", async () => {
  const args = [...llama3, "--no-measure"];
  const asked = [
    ["--kv-type", "f32", "--far-bytes", "5000000000"],
    ["--near", "400000000"],
  ];
  for (const [flag, value, ...more] of asked) {
    const { fit } = await jsonOf(["plan", ...args, flag, value, ...more]);
    assertGreater(fit.changes.length, 0);
    for (const { flags, reservedBytes, farBytes, fits } of fit.changes) {
      assert(fits, flags);
      const { cache } = await jsonOf(["plan", ...args, ...flags.split(" ")]);
      assertEquals([cache.reservedBytes, cache.farBytes], [reservedBytes, farBytes]);
    }
  }
});

test("plan's table says what does not fit and what would", async () => {
  const budgets = ["--near", "400000000", "--far-bytes", "1000000000"];
  const { status, stdout } = await command(["plan", ...llama3, "--no-measure", ...budgets]);
  assertEquals(status, 0);
  assertMatch(stdout, /^near budget +381 MiB {3}\d+ MiB do not fit$/m);
  assertMatch(stdout, /^longest that fits +\d+ {3}tokens$/m);
  assertMatch(stdout, /^ {2}--tokens \d+$/m);
  assertMatch(stdout, /^ {2}--key-bits 1: near \d+ MiB, far 4\.00 GiB$/m);
  assertMatch(stdout, /^ {2}--far FILE: 4\.00 GiB of a disk instead of RAM$/m);
});

test("a model's longest text is no longer than it was made for", async () => {
  const args = ["--model", tiny, "--tokens", "100", "--no-measure", "--near", "1000000000"];
  const { fit } = await jsonOf(["plan", ...args]);
  assertEquals([fit.longest, fit.changes], [fit.modelTokensMax, null]);
});
