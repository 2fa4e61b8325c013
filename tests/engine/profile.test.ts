// Profiles from files: a good one is used, by store, engine and plan; each kind of broken one is
// refused by file and fault.
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { planCache } from "../../engine/plan.ts";
import { readProfile } from "../../engine/profile.ts";
import { KvStore, type KvStoreOptions } from "../../mod.ts";
import {
  assertEquals,
  assertGreater,
  assertLess,
  assertLessOrEqual,
  assertNotEquals,
  test,
} from "../harness.ts";
import { assertExact, distance, openStore, prefill, shape, step, TOKENS } from "./kv.ts";
import {
  type FileTensor,
  type FileTensors,
  randomProfile,
  safetensors,
  writeProfile,
} from "./profiles.ts";
import { answer, asked, assertRefused, openNeedle, promptIds, withFolder } from "./support.ts";

const START = 300;

/** Runs `body` with the path of a profile file. */
function withProfile(
  tensors: FileTensors,
  body: (profile: string) => void | Promise<void>,
): Promise<void> {
  return withFolder((folder) => body(writeProfile(join(folder, "profile"), tensors)));
}

/** Outputs of a few steps, and the near bytes of a page's codes. */
function run(options: Partial<KvStoreOptions>) {
  using store = openStore({ kvType: "f32", k: 0, ...options });
  prefill(store, 0, START);
  const outputs = step(store);
  return { outputs, nearBytes: store.stats().nearBytes, off: distance(outputs, START) };
}

test("a profile's keys, values or both change the codes and their bytes", () =>
  withFolder((folder) => {
    const { keyBits, ...values } = randomProfile(shape);
    const path = (name: string, tensors: FileTensors) => writeProfile(join(folder, name), tensors);
    const none = run({});
    const keys = run({ profile: path("keys", { keyBits }), setting: "compact" });
    const ofValues = run({ profile: path("values", values) });
    const both = run({ profile: path("both", { keyBits, ...values }), setting: "compact" });
    assertLess(keys.nearBytes, none.nearBytes); // half of the heads have 1-bit keys, not 2-bit
    assertLess(ofValues.nearBytes, none.nearBytes); // a quarter of a bit, not 1
    assertEquals(
      none.nearBytes - both.nearBytes,
      2 * none.nearBytes - keys.nearBytes - ofValues.nearBytes,
    );
    const all = [none, keys, ofValues, both];
    for (const [at, { outputs, off }] of all.entries()) {
      for (const other of all.slice(at + 1)) assertNotEquals(outputs, other.outputs);
      assertLess(off, 0.3, `${at}`); // values are between -1 and 1
    }
  }));

test("keyBits and valueBits override a profile's parts", () =>
  withProfile(randomProfile(shape), (profile) => {
    assertEquals(run({ profile, keyBits: 2, valueBits: 1 }).outputs, run({}).outputs);
    assertEquals(run({ profile, keyBits: 2 }).outputs, run({ profile }).outputs);
    const compact = run({ profile, setting: "compact" });
    assertNotEquals(compact.outputs, run({ profile }).outputs);
    assertNotEquals(compact.outputs, run({ profile, keyBits: 1 }).outputs);
    assertEquals(run({ profile: "none" }).outputs, run({}).outputs);
  }));

test("with a profile and k of all tokens a store is softmax attention", () =>
  withProfile(randomProfile(shape), (profile) => {
    using store = openStore({ kvType: "f32", k: TOKENS, profile });
    assertExact(prefill(store, 0, START), 0);
    for (let token = START; token < START + 22; token++) assertExact(step(store), token);
  }));

test("what a profile plans is what the store holds", () =>
  withProfile(randomProfile(shape), (profile) => {
    using store = openStore({ profile, slots: 20 });
    const read = readProfile(profile, shape);
    prefill(store, 0, START);
    const { nearBytes, parts } = planCache(store.settings, shape, read, START);
    assertEquals(store.stats().nearBytes, nearBytes);
    assertGreater(parts.profile, 0);
  }));

test("at 32K for 8 KV heads of 128 2-bit keys and a profile's values plan at most .095", () => {
  const large = { layers: 1, kvHeads: 8, queryHeads: 32, headDim: 128 };
  const { keyBits: _, ...values } = randomProfile(large);
  return withProfile(values, (profile) => {
    const tokens = 32_768;
    using store = KvStore.open({
      ...{ ...large, contextTokens: tokens, profile, keyBits: 2, k: 256, slots: 256 },
    });
    const { ratio } = planCache(store.settings, large, readProfile(profile, large), tokens);
    assertLessOrEqual(ratio, 0.095);
  });
});

test("an engine with a profile generates, far in a file as in RAM", () =>
  withProfile(randomProfile({ layers: 4, kvHeads: 2, headDim: 64 }), async (profile) => {
    await using ram = await openNeedle({ profile });
    await using file = await openNeedle({ profile, far: { file: `${profile}.far` } });
    await using none = await openNeedle();
    const given = await answer(ram);
    assertEquals(await answer(file), given);
    assertNotEquals((await answer(none)).logprobs, given.logprobs);
    const { cache } = await ram.generate({ ids: promptIds, ...asked }).result;
    assertEquals(cache.nearBytes, ram.plan(cache.tokens).nearBytes);
  }));

const good = randomProfile(shape);

/** The good profile with one tensor changed; undefined leaves it out. */
function changed(name: string, fields?: Partial<FileTensor>): FileTensors {
  const { [name]: tensor, ...others } = good;
  return fields === undefined ? others : { ...others, [name]: { ...tensor, ...fields } };
}

/** The numbers of a tensor with those of `edits` in it. */
function edited(name: string, edits: Record<number, number>): FileTensors {
  const data = good[name].data.slice();
  for (const [at, number] of Object.entries(edits)) data[Number(at)] = number;
  return changed(name, { data });
}

const [{ data: basis }, { data: channels }] = [good.valueBasis, good.valuePlaneChannel];

const broken: readonly (readonly [what: string, tensors: FileTensors, fault: string])[] = [
  ["nothing in it", {}, "keyBits and valueBasis are both missing"],
  ["another model's layers", randomProfile({ ...shape, layers: 3 }), "[3,2], not U8 [2,2]"],
  ["another model's KV heads", randomProfile({ ...shape, kvHeads: 1 }), "[2,1], not U8 [2,2]"],
  ["another head_dim", randomProfile({ ...shape, headDim: 16 }), "not F32 [2,2,32,32]"],
  ["no channels", changed("valuePlaneChannel"), "valuePlaneChannel is missing"],
  ["no weights", changed("valuePlaneWeight"), "valuePlaneWeight is missing"],
  ["bits of another type", changed("keyBits", { dtype: "I8" }), "keyBits is I8 [2,2], not U8"],
  [
    "channels of another type",
    changed("valuePlaneChannel", { dtype: "F32", data: Float32Array.from(channels) }),
    "valuePlaneChannel is F32",
  ],
  ["3-bit keys", edited("keyBits", { 2: 3 }), "keyBits 3 of layer 1, KV head 0"],
  ["0-bit keys", edited("keyBits", { 1: 0 }), "keyBits 0 of layer 0, KV head 1"],
  [
    "a basis that is twice too long",
    changed("valueBasis", { data: (basis as Float32Array).map((number) => 2 * number) }),
    "rows 0 and 0 of basis 0 are 2.99999",
  ],
  ["a basis that is not finite", edited("valueBasis", { 1_030: NaN }), "of basis 1 are NaN"],
  [
    "a basis that is off in two numbers",
    edited("valueBasis", { 0: 0.9, 1: 0.9 }),
    "rows 0 and 0 of basis 0",
  ],
  ["a channel beyond head_dim", edited("valuePlaneChannel", { 9: 32 }), "channel 32"],
  ["a weight of 0", edited("valuePlaneWeight", { 5: 0 }), "weight 0"],
  ["a negative weight", edited("valuePlaneWeight", { 5: -1 }), "weight -1"],
  ["a weight that is not finite", edited("valuePlaneWeight", { 5: NaN }), "weight NaN"],
  ["an infinite weight", edited("valuePlaneWeight", { 5: Infinity }), "weight Infinity"],
];

for (const [what, tensors, fault] of broken) {
  test(`a profile with ${what} is refused by file and fault`, () =>
    withProfile(tensors, async (profile) => {
      await assertRefused(() => openStore({ profile }), "file", `${profile}: `);
      await assertRefused(() => openStore({ profile }), "file", fault);
    }));
}

const bytes = safetensors(good);

test("a profile of another version, or of none, is refused", () =>
  withFolder(async (folder) => {
    const profile = join(folder, "profile");
    for (const version of ["0", "2"]) {
      writeFileSync(profile, safetensors(good, { version }));
      const fault = `its version is ${version}, not 1`;
      await assertRefused(() => openStore({ profile }), "file", fault);
    }
    writeFileSync(profile, safetensors(good, {} as { version: string }));
    await assertRefused(() => openStore({ profile }), "file", "its version is none, not 1");
  }));

test("setting compact is refused without a profile, profile auto without a model", async () => {
  const needs = "setting compact needs a profile of the model";
  await assertRefused(() => openStore({ setting: "compact" }), "argument", needs);
  await assertRefused(() => openStore({ profile: "auto" }), "argument", "auto needs a model");
});

const files: readonly (readonly [what: string, bytes: Uint8Array, fault: string])[] = [
  ["empty", Buffer.alloc(0), "has 0 bytes"],
  ["cut in its header", bytes.subarray(0, 100), "does not fit the file size 100"],
  ["cut in its last tensor", bytes.subarray(0, bytes.length - 1), "after the file size"],
  ["too long", Buffer.concat([bytes, Buffer.alloc(4)]), "4 unused bytes after the last tensor"],
  ["no safetensors", Buffer.from("GGUF is not what was asked for"), "does not fit the file size"],
];

for (const [what, content, fault] of files) {
  test(`a profile file that is ${what} is refused by file and fault`, () =>
    withFolder(async (folder) => {
      const profile = join(folder, "profile");
      writeFileSync(profile, content);
      for (const text of [fault, `Cannot read profile: ${profile}`]) {
        await assertRefused(() => openStore({ profile }), "file", text);
      }
    }));
}

test("a folder as a profile is refused", () =>
  withFolder((profile) =>
    assertRefused(() => openStore({ profile }), "file", `${profile} is not a file`)
  ));

test("mode paper refuses a profile that is good", () =>
  withProfile(good, (profile) =>
    assertRefused(
      () => openStore({ mode: "paper", profile }),
      "argument",
      "has no use with rule paper",
    )));
