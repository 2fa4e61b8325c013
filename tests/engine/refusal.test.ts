// Every no is a SpecacheError whose code says of what kind it is and whose message names value and
// limit; what it was said to is as before. Refusals by KvStore's methods are in store_refusal.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import {
  type CacheOptions,
  Engine,
  type EngineOptions,
  type ErrorCode,
  type GenerateOptions,
  KvStore,
  type Late,
} from "../../mod.ts";
import { assertEquals, assertStringIncludes, skip, test } from "../harness.ts";
import { goldenPath } from "../parity/golden.ts";
import {
  answer,
  assertRefused,
  CONTEXT,
  errorOf,
  K,
  openNeedle,
  promptIds,
  withEngine,
  withFolder,
} from "./support.ts";

type Row<Options> = readonly [options: Options, message: string, code?: ErrorCode];

/** Options as a caller without types may give them. */
function untyped<Options>(options: Record<string, unknown>): Options {
  return options as Options;
}

const cacheRows: readonly Row<CacheOptions>[] = [
  [{ k: -1 }, "k -1 is below 0"],
  [{ k: 2.5 }, "k 2.5 is not an integer"],
  [{ k: NaN }, "k NaN is not a number"],
  [{ k: Infinity }, "k Infinity is not a number"],
  [untyped({ k: "16" }), 'k "16" is not a number'],
  [{ k: 17, kMax: 16 }, "k 17 is above kMax 16"],
  [{ kMax: -1 }, "kMax -1 is below 0"],
  [{ slots: -1 }, "slots -1 is below 0"],
  [untyped({ keyBits: 3 }), "keyBits 3 is none of 1, 2"],
  [untyped({ valueBits: 0 }), "valueBits 0 is none of 1, 2"],
  [untyped({ group: 48 }), "group 48 is none of 32, 64"],
  [untyped({ mode: "fast" }), "mode fast is none of full, paper, specache"],
  [untyped({ kvType: "f64" }), "kvType f64 is none of bf16, f16, f32"],
  [untyped({ isa: "sse" }), "isa sse is none of reference, portable, avx2, avx512, neon, amx"],
  [untyped({ device: "tpu" }), "device tpu is none of auto, cpu, cuda"],
  [untyped({ guessesMax: 4 }), "guessesMax 4 is none of 0, 1, 2, 3"],
  [untyped({ slot: 64 }), "option slot is not known"],
  [{ contextTokens: 0 }, "contextTokens 0 is below 1"],
  [{ sequences: 0 }, "sequences 0 is below 1"],
  [{ threads: 0 }, "threads 0 is below 1"],
  [{ threads: 257 }, "threads 257 is above 256"],
  [untyped({ far: "disk" }), "far disk is neither ram nor { file, bytes? }"],
  [untyped({ far: { file: "far", size: 3 } }), "option size of far is not known"],
  [{ far: { file: "" } }, 'far.file "" is empty'],
  [{ far: { file: "far\0" } }, "holds a NUL character"],
  [{ far: { file: "far", bytes: 0 } }, "far.bytes 0 is below 1"],
  [
    { far: { file: join(tmpdir(), "specache-few"), bytes: 1_000 } },
    "far.bytes is 1000",
    "capacity",
  ],
  [{ far: { file: "/no-such-folder/far" } }, "/no-such-folder/far: No such file", "file"],
  [{ far: { file: "/proc/far" } }, "/proc/far: ", "file"], // takes no files, even from root
  [{ far: { file: tmpdir() } }, `far file ${tmpdir()} exists: name a new one`, "file"],
  [untyped({ far: { file: "far", bytes: "many" } }), "far.bytes many is not a number"],
  [untyped({ far: { fle: "far" } }), "far.file is missing"],
  [{ far: { file: "far", bytes: 1e30 } }, `far.bytes 1e+30 is above ${2 ** 53 - 1}`],
  [{ k: 1e30 }, `k 1e+30 is above ${2 ** 24}`], // not JavaScript's safe integers, which zod names
  [{ k: -1e30 }, "k -1e+30 is below 0"],
  [{ threads: 1e30 }, "threads 1e+30 is above 256"],
  [{ contextTokens: 1e30 }, `contextTokens 1e+30 is above ${2 ** 24}`],
  [{ auditSeed: 3 }, "auditSeed 3 has no use without audit"],
  [{ nearBytes: 0 }, "nearBytes 0 is below 1"],
  [{ nearBytes: 1_000 }, "nearBytes is 1000", "capacity"],
  [{ mode: "paper", slots: 32 }, "slots 32 is not k 16, the slots of mode paper"],
  [{ mode: "paper", guessesMax: 2 }, "guessesMax 2 is not 1, the guesses of mode paper"],
  [{ profile: "/no-such-profile" }, "/no-such-profile does not exist", "file"],
];

const engineRows: readonly Row<Partial<EngineOptions>>[] = [
  [{ contextTokens: 16_385 }, "contextTokens 16385 is above the model's 16384", "capacity"],
  [{ model: "" }, 'model "" is empty'],
  [untyped({ model: undefined }), "model is missing"],
  [{ model: "/no-such-model" }, "/no-such-model does not exist", "file"],
  [{ model: goldenPath("llama-dynamic-rope") }, "dynamic", "unsupported"],
];

test("Engine.open refuses each bad option by value and limit", async () => {
  for (const [options, message, code = "argument"] of [...cacheRows, ...engineRows]) {
    await assertRefused(() => openNeedle(options), code, message);
  }
  for (const none of [undefined, null, "models/needle"]) {
    await assertRefused(() => Engine.open(none as never), "argument", `options `);
  }
});

const shape = { layers: 2, kvHeads: 2, queryHeads: 4, headDim: 16 };

const storeRows: readonly Row<Record<string, unknown>>[] = [
  [{ contextTokens: undefined }, "contextTokens is missing"],
  [{ contextTokens: 2 ** 24 + 1 }, "contextTokens 16777217 is above 16777216"],
  [{ layers: 0 }, "layers 0 is below 1"],
  [{ queryHeads: 5 }, "queryHeads 5 is not a multiple of kvHeads 2"],
  [{ headDim: 8 }, "headDim 8 is below 16"],
  [{ headDim: 20 }, "headDim 20 is not a multiple of 8"],
  [{ headDim: 264 }, "headDim 264 is above 256"],
  [{ scale: 0 }, "scale 0 is not above 0"],
  [{ scale: Infinity }, "scale Infinity is not a number"],
  [{ model: "models/needle" }, "option model is not known"],
];

test("KvStore.open refuses each bad option by value and limit", async () => {
  const valid = { ...shape, contextTokens: 300, k: K };
  for (const [options, message, code = "argument"] of [...cacheRows, ...storeRows]) {
    await assertRefused(() => KvStore.open({ ...valid, ...options }), code, message);
  }
});

test("a far file that exists is left as it was, and one that is used leaves nothing behind", () =>
  withFolder(async (folder) => {
    const file = join(folder, "far");
    writeFileSync(file, "a text of mine");
    await assertRefused(
      () => openNeedle({ far: { file } }),
      "file",
      `${file} exists: name a new one`,
    );
    assertEquals(readFileSync(file, "utf8"), "a text of mine");
    await using engine = await openNeedle({ far: { file: `${file}2` } });
    assertEquals((await engine.generate({ ids: [5], maxTokens: 1 }).result).stop, "length");
    assertEquals(readdirSync(folder), ["far"]);
  }));

test("a folder without permission is refused", () =>
  withFolder(async (folder) => {
    const closed = join(folder, "closed");
    mkdirSync(closed, { mode: 0o500 });
    const open = () => openNeedle({ far: { file: join(closed, "far") } });
    // Root may write anywhere: for it the test is that the folder opens.
    if (process.getuid?.() === 0) await (await open()).close();
    else await assertRefused(open, "file", `${join(closed, "far")}: Permission denied`);
    chmodSync(closed, 0o700);
  }));

const DISK = "/dev/shm"; // in RAM, and it refuses at once what is larger than all of it

async function fillDisk(folder: string): Promise<void> {
  const { blocks, bsize } = statfsSync(folder);
  const row = 2 * 256 * 4; // bytes: key and value of 256 channels in f32
  const contextTokens = 2 ** 20;
  const kvHeads = Math.ceil(blocks * bsize / (contextTokens * row)) + 1; // above all the disk
  const error = await errorOf(() =>
    KvStore.open({
      ...{ layers: 1, kvHeads, queryHeads: kvHeads, headDim: 256, kvType: "f32", keyBits: 1 },
      ...{ contextTokens, k: K, guessesMax: 0, far: { file: join(folder, "far") } },
    })
  );
  assertEquals(error.code, "capacity", error.message);
  assertStringIncludes(error.message, `needs ${contextTokens * row * kvHeads} bytes`);
  assertStringIncludes(error.message, "No space left on device");
  assertEquals(readdirSync(folder), []);
}

const larger = "a far file larger than its disk is refused by both numbers and leaves nothing";
if (existsSync(DISK)) test(larger, () => withFolder(fillDisk, DISK));
else skip(larger, `this machine has no ${DISK}`);

const ids = promptIds.slice(0, 3);

const generateRows: readonly Row<GenerateOptions>[] = [
  [{ ids, k: -1 }, "k -1 is below 0"],
  [{ ids, k: 2.5 }, "k 2.5 is not an integer"],
  [{ ids, k: NaN }, "k NaN is not a number"],
  [{ ids, k: K + 1 }, `k ${K + 1} is above kMax ${K}`],
  [{ ids, k: 10_000 }, `k 10000 is above kMax ${K}`],
  [untyped({ ids, topk: 5 }), "option topk is not known"],
  [{ ids, prompt: "The code" }, "prompt and ids are both given"],
  [{ ids: [1_024] }, "id 1024 is not below the vocabulary's 1024"],
  [{ ids: [5, -1] }, "ids[1] -1 is below 0"],
  [{ ids: [1.5] }, "ids[0] 1.5 is not an integer"],
  [untyped({ prompt: 5 }), "prompt 5 is not a string"],
  [{ ids: promptIds }, `${promptIds.length} of the prompt`, "capacity"],
  [{ ids, maxTokens: 90 }, `maxTokens 90 are above contextTokens ${CONTEXT}`, "capacity"],
  [{ ids, maxTokens: -1 }, "maxTokens -1 is below 0"],
  [{ ids, maxTokens: 1.5 }, "maxTokens 1.5 is not an integer"],
  [{ ids, temperature: -1 }, "temperature -1 is below 0"],
  [{ ids, temperature: NaN }, "temperature NaN is not a number"],
  [{ ids, seed: 1.5 }, "seed 1.5 is not an integer"],
  [{ ids, seed: -1 }, "seed -1 is below 0"],
  [untyped({ ids, guesses: 4 }), "guesses 4 is none of auto, 0, 1, 2, 3"],
  [untyped({ ids, accept: "yes" }), "accept yes is none of auto, on, off"],
  [{ ids, guesses: 2 }, "guesses 2 is above guessesMax 1"],
  [untyped({ ids, late: "some" }), "late some is none of all, none, { above: 0..1 }"],
  [{ ids, late: { above: 2 } }, "late.above 2 is above 1"],
  [{ ids, logprobs: 101 }, "logprobs 101 is above 100"],
  [untyped({ ids, signal: {} }), "signal {} is not an AbortSignal"],
  [untyped({ ids, progress: 3 }), "progress 3 is not a function"],
];

const samplingRows: readonly Row<GenerateOptions>[] = [
  ...["topK", "topP", "minP", "repetitionPenalty", "presencePenalty", "frequencyPenalty"].flatMap(
    (name): Row<GenerateOptions>[] => [
      [untyped({ ids, [name]: NaN }), `${name} NaN is not a number`],
      [untyped({ ids, [name]: Infinity }), `${name} Infinity is not a number`],
      [untyped({ ids, [name]: "1" }), `${name} "1" is not a number`],
      [untyped({ ids, [name]: null }), `${name} null is not a number`],
      [untyped({ ids, [name]: [1] }), `${name} [ 1 ] is not a number`],
      [untyped({ ids, [name]: -3 }), `${name} -3 is `],
      [untyped({ ids, [name]: 2 ** 32 }), `${name} 4294967296 is above `],
    ],
  ),
  [{ ids, topK: 2.5 }, "topK 2.5 is not an integer"],
  [{ ids, topP: 1.01 }, "topP 1.01 is above 1"],
  [{ ids, topP: -0.01 }, "topP -0.01 is below 0"],
  [{ ids, minP: 1.01 }, "minP 1.01 is above 1"],
  [{ ids, repetitionPenalty: 0 }, "repetitionPenalty 0 is below 0.01"],
  [{ ids, presencePenalty: 2.1 }, "presencePenalty 2.1 is above 2"],
  [{ ids, frequencyPenalty: -2.1 }, "frequencyPenalty -2.1 is below -2"],
];

test("a session refuses each bad value of a sampler", () =>
  withEngine({}, async (engine) => {
    await using session = await engine.session();
    for (const [options, message, code = "argument"] of samplingRows) {
      await assertRefused(() => session.generate(options), code, message);
    }
  }));

test("a session refuses each bad request and goes on as if it had not been asked", () =>
  withEngine({ far: "file", guessesMax: 1 }, async (engine) => {
    const refusals: (readonly [() => unknown, string, ErrorCode])[] = [];
    const whole = await answer(engine, { maxTokens: 60, logprobs: 0 });
    await using session = await engine.session();
    await session.generate({ ids: promptIds, maxTokens: 1 }).result;
    for (const [options, message, code = "argument"] of generateRows) {
      refusals.push([() => session.generate(options).result, message, code]);
    }
    for (const tokens of [-1, 1.5, NaN, 2 ** 32, 5_000]) {
      refusals.push([() => session.truncate(tokens), `tokens ${tokens} is `, "argument"]);
      refusals.push([() => engine.plan(tokens), `tokens ${tokens} is `, "argument"]);
    }
    refusals.push([() => engine.session(), "1 sequences are open", "capacity"]);
    refusals.push([() => session.fork(), "1 sequences are open", "capacity"]);
    refusals.push([() => engine.generate({ ids }).result, "1 sequences are open", "capacity"]);
    for (const [at, [call, message, code]] of refusals.entries()) {
      await assertRefused(call, code, message);
      assertEquals(session.length, promptIds.length + at);
      const { tokens } = await session.generate({ maxTokens: 1 }).result;
      assertEquals(tokens, [whole.tokens[at + 1]], `after ${message}`);
    }
  }));

test("a session without a token to go on from refuses to generate", () =>
  withEngine({}, async (engine) => {
    await using session = await engine.session();
    for (const nothing of [{}, { ids: [] }, { prompt: "" }]) {
      const generate = () => session.generate(nothing).result;
      await assertRefused(generate, "argument", "the prompt is empty");
    }
  }));

test("mode paper refuses what it has no use for, by request too", () =>
  withEngine({ mode: "paper" }, async (engine) => {
    const rows: readonly Row<GenerateOptions>[] = [
      [{ guesses: 0 }, "guesses 0 is not 1, as mode paper has it"],
      [{ late: "all" }, "late all is not none, as mode paper has it"],
      [{ late: { above: 0.5 } as Late }, 'late {"above":0.5} is not none'],
    ];
    for (const [options, message] of rows) {
      await assertRefused(() => engine.generate({ ids, ...options }).result, "argument", message);
    }
  }));

test("a model without a tokenizer refuses text and takes ids", async () => {
  const model = goldenPath("llama-plain");
  await using engine = await Engine.open({ model, contextTokens: 64 });
  const generate = () => engine.generate({ prompt: "The code" }).result;
  await assertRefused(generate, "unsupported", "has no tokenizer, so ids must be given");
  const { tokens, text } = await engine.generate({ ids: [5, 6], maxTokens: 3 }).result;
  assertEquals([tokens.length, text], [3, ""]);
});
