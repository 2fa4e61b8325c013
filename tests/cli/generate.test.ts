import { readFileSync } from "node:fs";
import process from "node:process";
import { generateFlags } from "../../cli/generate.ts";
import { planFlags } from "../../cli/plan.ts";
import { doctorFlags } from "../../cli/doctor.ts";
import { serveFlags } from "../../cli/serve.ts";
import { evalFlags } from "../../cli/eval.ts";
import { profileFlags } from "../../cli/profile.ts";
import { toolchainFlags } from "../../cli/toolchain.ts";
import { tokenizerOf } from "../../eval/source.ts";
import { assert, assertEquals, assertMatch, assertObjectMatch, test } from "../harness.ts";
import { command, Folder, idsText, jsonOf, needle, tiny } from "./command.ts";

const TEXT = "The code of amber is 48213.";
const long = ["generate", "--model", needle, "--prompt", TEXT];
const ask = [...long, "--max-tokens", "4"];

const number = "number";
const count = { made: number, right: number };
const documented = {
  text: "string",
  tokens: [number],
  stop: "string",
  usage: {
    promptTokens: number,
    completionTokens: number,
    cachedTokens: number,
    cachedGeneratedTokens: number,
  },
  cache: {
    mode: "string",
    tokens: number,
    nearBytes: number,
    farBytes: number,
    fullBytes: number,
    ratio: number,
    prefetchedRows: number,
    lateRows: number,
    reusedRows: number,
    fetchedBytes: number,
    guess: { ...count, accepted: number, bySource: { chain: count, lookup: count } },
    fetch: { hiddenMs: number, waitedMs: number, lateMs: number },
    audit: "object",
  },
  timing: {
    loadMs: number,
    prefillMs: number,
    decodeMs: number,
    tokensPerSecond: number,
    tokensPerStep: number,
  },
  device: { name: "string", isa: "string", threads: number },
  model: { name: "string", layers: number, kvHeads: number, queryHeads: number, headDim: number },
};

// A value with its types in place of its leaves; an array is one of each kind of item.
function typesOf(value: unknown): unknown {
  if (Array.isArray(value)) {
    const kinds = new Set(value.map((item) => JSON.stringify(typesOf(item))));
    return [...kinds].map((kind) => JSON.parse(kind));
  }
  if (typeof value !== "object" || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, typesOf(part)]));
}

test("generate --json prints one object with the documented fields and nothing else", async () => {
  const result = await jsonOf(ask);
  assertEquals(typesOf(result), documented);
  assertObjectMatch(result, {
    stop: "length",
    usage: { completionTokens: 4, cachedTokens: 0 },
    cache: { mode: "specache", tokens: result.usage.promptTokens + 3 },
    device: { name: "cpu" },
    model: { name: "needle", layers: 4, kvHeads: 2, queryHeads: 4, headDim: 64 },
  });
  assertEquals(result.tokens.length, 4);
});

test("generate --json --logprobs 3 adds three pairs a token, the likeliest first", async () => {
  const { logprobs, tokenLogprobs, tokens, ...rest } = await jsonOf([...ask, "--logprobs", "3"]);
  assertEquals(typesOf({ tokens, ...rest }), documented);
  assertEquals(logprobs.map((pairs: unknown[]) => pairs.length), [3, 3, 3, 3]);
  assertEquals(logprobs.map((pairs: number[][]) => pairs[0][0]), tokens);
  assertEquals(logprobs.map((pairs: number[][]) => pairs[0][1]), tokenLogprobs);
  for (const pairs of logprobs) {
    const values = pairs.map(([, value]: number[]) => value);
    assertEquals(values, values.toSorted((a: number, b: number) => b - a));
    assert(values[0] <= 0);
  }
});

test("generate streams the text and ends with a line of memory and speed", async () => {
  const { text } = await jsonOf(ask);
  const { status, stdout, stderr } = await command(ask);
  assertEquals([status, stdout], [0, `${text}\n`]);
  assertMatch(
    stderr,
    /^\d+ \+ 4 tokens, near .+ of .+ \(ratio .+\), prefill .+ s, .+ tokens\/s\n$/,
  );
});

test("a terminal sees a progress bar of the prefill", async () => {
  const { stdout, stderr } = await command([...ask, "--json"], () => {});
  assertMatch(stderr, /^\rprefill \[#{30}\] (\d+)\/\1\n$/);
  assertEquals(stdout.split("\n").length, 2);
});

test("--prompt, --prompt-file and --ids-file give the same tokens", async () => {
  using folder = new Folder();
  const ids = tokenizerOf(needle).encode(TEXT);
  const rest = ["generate", "--model", needle, "--max-tokens", "6"];
  const [expected, ...others] = await Promise.all([
    ["--prompt", TEXT],
    ["--prompt-file", folder.file("prompt.txt", TEXT)],
    ["--ids-file", folder.file("ids.json", JSON.stringify(ids))],
  ].map(async (flags) => {
    const { text, tokens, usage, stop } = await jsonOf([...rest, ...flags]);
    return { text, tokens, usage, stop };
  }));
  for (const other of others) assertEquals(other, expected);
});

test("a model without tokenizer generates golden ids from --ids-file; text is empty", async () => {
  using folder = new Folder();
  const { prompts: [{ ids, greedy }] } = JSON.parse(readFileSync(`${tiny}/golden.json`, "utf8"));
  const file = folder.file("ids.json", JSON.stringify(ids));
  const flags = ["--ids-file", file, "--max-tokens", "8", "--mode", "full", "--kv-type", "f32"];
  const { text, tokens } = await jsonOf(["generate", "--model", tiny, ...flags]);
  assertEquals([text, tokens], ["", greedy.slice(0, 8)]);
});

// [flags, what the result then holds]; FAR stands for the path of a new file.
const accepted: readonly [flags: string, holds: Record<string, unknown>][] = [
  ["--mode full --kv-type f16 --device auto", { cache: { mode: "full", farBytes: 0 } }],
  ["--mode specache --kv-type bf16 --device cpu", { cache: { mode: "specache" } }],
  ["--mode paper --rule rotated", { cache: { mode: "paper" } }],
  ["--rule paper --group 32", { cache: { mode: "specache" } }],
  ["--mode paper --group 32", { cache: { mode: "paper", guess: { made: 3 } } }],
  ["--mode paper --group 64 --key-bits 2 --value-bits 2", { cache: { mode: "paper" } }],
  ["--k 0 --late none", { cache: { reusedRows: 0, lateRows: 0 } }],
  ["--k=16 --slots 8 --late 0.01", {}],
  ["--key-bits 1 --value-bits 2 --profile none", {}],
  ["--setting default --accept on", {}],
  ["--audit 0.5 --audit-seed 3 --audit-warn 0.9", { cache: { audit: { share: 0.5 } } }],
  ["--key-bits 2 --value-bits 1 --kv-type f32 --late all", {}],
  ["--far ram --guesses auto", { cache: { guess: { made: 0 } } }],
  ["--far FAR --guesses auto", { cache: { guess: { made: 3 } } }],
  ["--far FAR --far-bytes 2000000 --guesses 0", { cache: { guess: { made: 0 } } }],
  ["--guesses 3", { cache: { guess: { made: 3, bySource: { chain: { made: 3 } } } } }],
  ["--near 100000000 --context 512 --threads 1", { device: { threads: 1 } }],
  ["--temperature 0.7 --seed 5 --verbose", {}],
  ["--temperature 0.7 --top-k 20 --top-p 0.9 --min-p 0.05", {}],
  ["--repetition-penalty 1.1 --presence-penalty -0.5 --frequency-penalty 0.5", {}],
  ["--activations int8", { device: { name: "cpu" } }],
  ["--prefill exact", { device: { name: "cpu" } }],
  ["--max-tokens 0", { tokens: [], stop: "length" }],
];

for (const [flags, holds] of accepted) {
  test(`generate accepts ${flags}`, async () => {
    using folder = new Folder();
    const prompt = ["--ids-file", folder.file("ids.json", idsText(150))];
    const given = flags.replace("FAR", folder.of("far")).split(" ");
    if (!given.includes("--max-tokens")) given.push("--max-tokens", "4");
    assertObjectMatch(await jsonOf(["generate", "--model", tiny, ...prompt, ...given]), holds);
  });
}

test("--audit tells what was lost behind the answer", async () => {
  using folder = new Folder();
  const prompt = ["--ids-file", folder.file("ids.json", idsText(150))];
  const asked = ["generate", "--model", tiny, ...prompt, "--max-tokens", "4", "--audit", "1"];
  const { status, stderr } = await command(asked);
  assertEquals(status, 0);
  assertMatch(stderr, /^audited \d+ times: lost mass 0\.\d{4} \(95 %: .+\), divergence of .+$/m);
});

test("the tables of these tests name every flag of generate", () => {
  // --prefetch wants device cuda: cuda/tests/engine.
  const elsewhere = ["model", "prompt", "prompt-file", "ids-file", "logprobs", "json", "help"]
    .concat("prefetch", "stop", "chat", "system", "chat-template");
  const named = accepted.flatMap(([flags]) => flags.match(/(?<=--)[\w-]+/g) ?? []);
  assertEquals([...new Set([...elsewhere, ...named])].sort(), Object.keys(generateFlags).sort());
});

test("a temperature gives the same text with the same seed, and another with another", async () => {
  const run = (seed: string) =>
    jsonOf([...long, "--max-tokens", "24", "--temperature", "1.5", "--seed", seed]);
  const [first, again, other] = await Promise.all([run("1"), run("1"), run("2")]);
  assertEquals(again.text, first.text);
  assert(other.text !== first.text);
});

test("--stop ends the text before it, and any of several does", async () => {
  const { text } = await jsonOf(ask);
  const stop = text.slice(2, 4);
  for (const flags of [["--stop", stop], ["--stop", "never", `--stop=${stop}`]]) {
    const given = await jsonOf([...ask, ...flags]);
    assertEquals([given.text, given.stop], [text.slice(0, text.indexOf(stop)), "stop"]);
    const { stdout } = await command([...ask, ...flags]);
    assertEquals(stdout, `${given.text}\n`);
  }
});

test("--chat makes a turn of the prompt by the template, --system another before it", async () => {
  using folder = new Folder();
  const template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}" +
    "{% if add_generation_prompt %}<a>{% endif %}";
  const chat = ["--chat", "--chat-template", folder.file("template", template)];
  const rest = ["generate", "--model", needle, "--max-tokens", "5"];
  for (
    const [flags, text] of [
      [[], `<user>${TEXT}\n<a>`],
      [["--system", "Be brief."], `<system>Be brief.\n<user>${TEXT}\n<a>`],
    ] as const
  ) {
    const given = await jsonOf([...rest, ...chat, ...flags, "--prompt", TEXT]);
    const plain = await jsonOf([...rest, "--prompt", text]);
    assertEquals([given.tokens, given.usage], [plain.tokens, plain.usage]);
  }
});

test("Ctrl-C ends a generation as cancelled, and no listener for it stays", async () => {
  const listeners = process.listenerCount("SIGINT");
  const interrupt = () => void process.emit("SIGINT");
  const { status, stdout } = await command([...long, "--max-tokens", "500", "--json"], interrupt);
  assertEquals([status, JSON.parse(stdout).stop], [0, "cancelled"]);
  assertEquals(process.listenerCount("SIGINT"), listeners);
});

for (const args of [[], ["--help"], ["help"], ["generate", "--help"], ["serve", "--help"]]) {
  test(`specache ${args.join(" ")} prints help and exits 0`, async () => {
    const { status, stdout, stderr } = await command(args);
    assertEquals([status, stderr], [0, ""]);
    const commands = args.length === 2 ? [args[0]] : [
      ...["generate", "chat", "serve", "plan", "profile", "eval", "pull", "models", "rm"],
      ...["toolchain", "doctor"],
    ];
    const headings = [...stdout.matchAll(/^specache (\w+)(?: NAME)? - /gm)].map(([, name]) => name);
    assertEquals(headings, commands);
  });
}

const commands = [
  ["generate", generateFlags],
  ["serve", serveFlags],
  ["plan", planFlags],
  ["profile", profileFlags],
  ["eval", evalFlags],
  ["doctor", doctorFlags],
  ["toolchain", toolchainFlags],
] as const;
for (const [name, flags] of commands) {
  test(`the help of ${name} names each of its flags`, async () => {
    const { stdout } = await command([name, "--help"]);
    const missing = Object.keys(flags).filter((flag) => !stdout.includes(`--${flag}`));
    assertEquals(missing, []);
  });
}
