import process from "node:process";
import { assertEquals, assertMatch, test } from "../harness.ts";
import { command, Folder, idsText, needle, pathOf, tiny } from "./command.ts";
import { profileBytes } from "./profile.ts";

// Stand-ins of the tables below, as paths; NONE is nowhere.
function paths(folder: Folder): Record<string, string> {
  return {
    NEEDLE: needle,
    TINY: tiny,
    BAD: pathOf("tests/golden/bad"),
    GOLDEN: pathOf("tests/golden"),
    EMPTY: folder.path,
    NONE: folder.of("none"),
    IDS: folder.file("ids", idsText(20)),
    TEXT: folder.file("text", "not what is asked for"),
    OBJECT: folder.file("object", '{"0": 1}'),
    FLOAT: folder.file("float", "[1, 2.5]"),
    NEGATIVE: folder.file("negative", "[1, -3]"),
    WORD: folder.file("word", '[1, "two"]'),
    LARGE: folder.file("large", "[1, 99999]"),
    NOTHING: folder.file("nothing", "[]"),
    BROKEN: folder.file("broken", "{% for %}"),
    BLANK: folder.file("blank", ""),
    PROFILE: folder.file("profile", profileBytes({ layers: 1, kvHeads: 2, headDim: 16 })),
    FAR: folder.of("far"),
    TEMPLATE: folder.file("template", "{{ messages[0].content }}"),
    KEYS: folder.file("keys", "secret\n"),
    NOKEYS: folder.file("nokeys", "\n\n"),
    SPACED: folder.file("spaced", "secret\nsec ret\n"),
    UMLAUT: folder.file("umlaut", "s\u00e9cret\n"),
    LONGKEY: folder.file("longkey", "s".repeat(1001)),
  };
}

// Each line must answer 2, with nothing on standard output and the sentence on standard error.
type Row = readonly [args: readonly string[] | string, sentence: RegExp];

const sizes = "--layers 2 --kv-heads 2 --query-heads 4 --head-dim 16 --tokens 9";
const tiny20 = "generate --model TINY --ids-file IDS --max-tokens 4";

const flags: readonly Row[] = [
  [
    "nonsense",
    /^Cannot run: command nonsense is none of generate, chat, serve, plan, profile, eval, /,
  ],
  ["--json", /^Cannot run: command --json is none of/],
  ["constructor", /command constructor is none of/],
  ["generate --model TINY", /0 of --prompt, --prompt-file and --ids-file are given, not 1$/],
  ["generate --model TINY --prompt a --ids-file IDS", /2 of .* are given, not 1$/],
  ["generate --model TINY --prompt a --prompt-file IDS", /2 of .* are given, not 1$/],
  ["generate --prompt a", /^Cannot generate: model is missing$/],
  [["generate", "--model", "", "--prompt", "a"], /model "" is empty$/],
  [`${tiny20} --modle x`, /^Cannot generate: flag --modle is not known$/],
  [`${tiny20} --toString x`, /flag --toString is not known$/],
  [`${tiny20} --K 3`, /flag --K is not known$/],
  [`${tiny20} -k 3`, /-k is not a flag$/],
  [`${tiny20} more`, /^Cannot generate: more is not a flag$/],
  [`${tiny20} --k`, /^Cannot generate: --k is given no value$/],
  [`${tiny20} --mode --json`, /--mode is given no value$/],
  [`${tiny20} --json=1`, /--json takes no value, not 1$/],
  [[...tiny20.split(" "), "--mode", "a\nb"], /mode a b is none of full, paper, specache$/],
  ["doctor now", /^Cannot look at this machine: now is not a flag$/],
  ["doctor --json=1", /--json takes no value, not 1$/],
  ["doctor --fast", /flag --fast is not known$/],
  ["toolchain", /^Cannot fetch a toolchain: 0 names are given, not 1$/],
  ["toolchain c++ nvcc", /2 names are given, not 1$/],
  ["toolchain gcc", /^Cannot fetch a toolchain: name gcc is none of c\+\+, nvcc$/],
  [["toolchain", ""], /name "" is none of c\+\+, nvcc$/],
  ["toolchain toString", /name toString is none of/],
  ["toolchain c++ --force", /flag --force is not known$/],
  ["plan --model TINY", /^Cannot plan: --tokens is missing$/],
  ["plan --tokens 10", /^Cannot plan: layers is missing$/],
  ["plan --tokens 10 --layers 2 --kv-heads 2 --query-heads 4", /headDim is missing$/],
  ["plan --tokens 10 --model TINY --layers 2", /--layers 2 is given beside --model/],
  ["plan --tokens 10 --model TINY --prompt a", /flag --prompt is not known$/],
];

const values: readonly Row[] = [
  ...[
    "k",
    "slots",
    "near",
    "threads",
    "max-tokens",
    "context",
    "seed",
    "logprobs",
    "temperature",
    "top-k",
    "top-p",
    "min-p",
  ]
    .flatMap((name): Row[] => [
      [`${tiny20} --${name} many`, /^Cannot generate: \w+ many is not a number$/],
      [[...tiny20.split(" "), `--${name}=`], /^Cannot generate: \w+ "" is not a number$/],
      [`${tiny20} --${name} -1`, /^Cannot generate: \w+ -1 is below [01]$/],
      [`${tiny20} --${name} Infinity`, /^Cannot generate: \w+ Infinity is (not|above) /],
    ]),
  [`${tiny20} --k 2.5`, /k 2\.5 is not an integer$/],
  [`${tiny20} --k 16777217`, /k 16777217 is above 16777216$/],
  [`${tiny20} --setting compact --profile none`, /setting compact needs a profile of the model$/],
  [`${tiny20} --setting tight`, /setting tight is none of default, compact$/],
  ["profile", /model is missing|model/],
  ["profile --model TINY", /^Cannot measure a profile: model .+ has no tokenizer$/],
  [`profile --model models/needle --tokens 127`, /tokens 127 is below 128$/],
  [`${tiny20} --mode nonsense`, /mode nonsense is none of full, paper, specache$/],
  [`${tiny20} --key-bits 3`, /keyBits 3 is none of 1, 2$/],
  [`${tiny20} --value-bits one`, /valueBits one is none of 1, 2$/],
  [`${tiny20} --group 48`, /group 48 is none of 32, 64$/],
  [`${tiny20} --kv-type f8`, /kvType f8 is none of bf16, f16, f32$/],
  [`${tiny20} --guesses 4`, /guesses 4 is none of auto, 0, 1, 2, 3$/],
  [`${tiny20} --late 2`, /late\.above 2 is above 1$/],
  [`${tiny20} --late -0.5`, /late\.above -0\.5 is below 0$/],
  [`${tiny20} --late some`, /late some is none of all, none, /],
  [`${tiny20} --logprobs 1000`, /logprobs 1000 is above 100$/],
  [`${tiny20} --temperature 101`, /temperature 101 is above 100$/],
  ...["repetition", "presence", "frequency"].flatMap((name): Row[] => [
    [`${tiny20} --${name}-penalty many`, /^Cannot generate: \w+Penalty many is not a number$/],
    [
      `${tiny20} --${name}-penalty -3`,
      /^Cannot generate: \w+Penalty -3 is below (0\.01|-2)$/,
    ],
    [`${tiny20} --${name}-penalty 101`, /^Cannot generate: \w+Penalty 101 is above (100|2)$/],
  ]),
  [`${tiny20} --top-k 2.5`, /topK 2\.5 is not an integer$/],
  [`${tiny20} --top-p 1.5`, /topP 1\.5 is above 1$/],
  [`${tiny20} --min-p 1.5`, /minP 1\.5 is above 1$/],
  [[...tiny20.split(" "), "--stop", ""], /^Cannot generate: stop\[0\] "" is empty$/],
  [`${tiny20} --stop a`, /has no tokenizer, so stop strings never come$/],
  [`${tiny20} --stop`, /--stop is given no value$/],
  [`${tiny20} --system S`, /^Cannot generate: --system is given without --chat$/],
  [`${tiny20} --chat`, /^Cannot generate: --chat wants text, not --ids-file$/],
  ["generate --model TINY --chat --prompt a", /^Cannot generate: model llama-plain has no tokeniz/],
  ["generate --model NEEDLE --chat --prompt a", /model needle has no chat template, so chatTempl/],
  ["generate --model NEEDLE --chat --prompt a --chat-template NONE", /^Cannot read NONE: ENOENT/],
  ["generate --model NEEDLE --chat --prompt a --chat-template EMPTY", /^Cannot read EMPTY: EISD/],
  [
    "generate --model NEEDLE --chat --prompt a --chat-template BROKEN",
    /^Cannot write a conversation: the template of model needle is not understood \(/,
  ],
  [
    "generate --model NEEDLE --chat --prompt a --chat-template BLANK",
    /^Cannot generate: chatTemplate "" is empty$/,
  ],
  [`${tiny20} --threads 0`, /threads 0 is below 1$/],
  [`${tiny20} --threads 1000`, /threads 1000 is above 256$/],
  [`${tiny20} --device tpu`, /device tpu is none of auto, cpu, cuda$/],
  [`${tiny20} --prefetch copy`, /prefetch copy is none of read, gather$/],
  [`${tiny20} --prefetch gather`, /prefetch gather has no use without device cuda$/],
  [`${tiny20} --prefill quick`, /prefill quick is none of exact, fast$/],
  [`${tiny20} --prefill fast`, /prefill fast has no use without device cuda$/],
  [`${tiny20} --context 0`, /contextTokens 0 is below 1$/],
  [`${tiny20} --mode paper --late all`, /late all is not none, as mode paper has it$/],
  [`${tiny20} --mode paper --guesses 0`, /guesses 0 is not 1, as mode paper has it$/],
  [`${tiny20} --mode paper --slots 7`, /slots 7 is not k \d+, the slots of mode paper$/],
  ["plan --model TINY --tokens many", /contextTokens many is not a number$/],
  ["plan --model TINY --tokens 0", /contextTokens 0 is below 1$/],
  ["plan --model TINY --tokens 99 --guesses few", /guesses few is none of auto, 0, 1, 2, 3$/],
  ...["near", "far-bytes", "weights-bytes"].flatMap((name): Row[] => [
    [`plan SIZES --${name} many`, /^Cannot plan: \w+Bytes many is not a number$/],
    [`plan SIZES --${name} NaN`, /^Cannot plan: \w+Bytes NaN is not a number$/],
    [`plan SIZES --${name} -1`, /^Cannot plan: \w+Bytes -1 is below 1$/],
    [`plan SIZES --${name} 0`, /^Cannot plan: \w+Bytes 0 is below 1$/],
    [`plan SIZES --${name} 2.5`, /^Cannot plan: \w+Bytes 2\.5 is not an integer$/],
    [`plan SIZES --${name} 1e300`, /^Cannot plan: \w+Bytes 1e\+300 is (not|above) /],
    [`plan SIZES --${name}=`, /^Cannot plan: \w+Bytes "" is not a number$/],
  ]),
  ["plan SIZES --weights-bytes 9 --weights-type q9", /weightsType q9 is none of f32, f16, bf16, /],
  ["plan SIZES --weights-type q8_0", /--weights-type q8_0 is given without --weights-bytes$/],
  ["plan SIZES --no-measure=1", /--no-measure takes no value, not 1$/],
  ["plan --model TINY --tokens 9 --weights-bytes 9", /--weights-bytes 9 is given beside --model$/],
  ["plan --model TINY --tokens 9 --weights-type f16", /--weights-type f16 is given beside --mod/],
  ["plan --model TINY --tokens 99 --k -1", /^Cannot plan: k -1 is below 0$/],
  [
    "plan --layers 2 --kv-heads 2 --query-heads 4 --head-dim 20 --tokens 9",
    /headDim 20 is not a multiple of 8$/,
  ],
  [
    "plan --layers 2 --kv-heads 3 --query-heads 4 --head-dim 16 --tokens 9",
    /query_?heads 4 .* 3/i,
  ],
];

const files: readonly Row[] = [
  ["generate --model TINY --prompt-file NONE", /^Cannot read NONE: ENOENT/],
  ["generate --model TINY --prompt-file EMPTY", /^Cannot read EMPTY: EISDIR/],
  ["generate --model TINY --ids-file NONE", /^Cannot read NONE: ENOENT/],
  ["generate --model TINY --ids-file TEXT", /TEXT is not a JSON array of token ids$/],
  ["generate --model TINY --ids-file OBJECT", /OBJECT is not a JSON array of token ids$/],
  ["generate --model TINY --ids-file FLOAT", /ids\[1\] 2\.5 is not an integer$/],
  ["generate --model TINY --ids-file NEGATIVE", /ids\[1\] -3 is below 0$/],
  ["generate --model TINY --ids-file WORD", /ids\[1\] two is not a number$/],
  ["generate --model TINY --ids-file LARGE", /id 99999 is not below the vocabulary's 320$/],
  ["generate --model TINY --ids-file NOTHING", /the prompt is empty/],
  [["generate", "--model", "NEEDLE", "--prompt", ""], /the prompt is empty/],
  ["generate --model TINY --prompt a", /model llama-plain has no tokenizer/],
  ["generate --model NONE --prompt a", /^Cannot open model: NONE does not exist$/],
  ["generate --model EMPTY --prompt a", /^Cannot open model: EMPTY\/config\.json: does not exist/],
  ["generate --model TEXT --ids-file IDS", /^Cannot open model: TEXT: .*GGUF/],
  ["generate --model BAD/gguf-bad-magic.gguf --ids-file IDS", /gguf-bad-magic\.gguf: /],
  ["generate --model BAD/st-missing-tensor --ids-file IDS", /st-missing-tensor/],
  ["generate --model GOLDEN/mistral-sliding --ids-file IDS", /sliding/],
  ["plan --model NONE --tokens 10", /^Cannot open model: NONE does not exist$/],
  [`${tiny20} --profile NONE`, /^Cannot read profile: NONE: does not exist$/],
  [`${tiny20} --profile TEXT`, /^Cannot read profile: TEXT: /],
  [`${tiny20} --profile PROFILE`, /^Cannot read profile: PROFILE: keyBits is .*\[1,2\].*\[2,2\]$/],
  [`${tiny20} --mode paper --profile PROFILE`, /^Cannot \w/],
  [`${tiny20} --far NONE/far`, /^Cannot open an engine: far file NONE\/far: No such file/],
  [`${tiny20} --far TEXT`, /far file TEXT exists: name a new one/],
  [`${tiny20} --far FAR --far-bytes 10`, /far memory needs \d+ bytes, far_bytes is 10$/],
  [`${tiny20} --far-bytes 10`, /^Cannot reserve --far-bytes 10: --far names no file$/],
  [`${tiny20} --far ram --far-bytes 10`, /--far-bytes 10: --far names no file$/],
  [`${tiny20} --near 10`, /near memory needs \d+ bytes, near_bytes is 10$/],
  [`${tiny20} --context 22`, /20 of the prompt and maxTokens 4 are above contextTokens 22$/],
  [`${tiny20} --context 600`, /contextTokens 600 is above the model's 512$/],
  [
    "generate --model TINY --ids-file IDS --max-tokens 600",
    /contextTokens 620 is above the model's 512$/,
  ],
];

const served = "serve --model NEEDLE --context 128 --chat-template TEMPLATE";

const servers: readonly Row[] = [
  ["serve", /^Cannot serve: model is missing$/],
  ["serve --model NONE", /^Cannot open model: NONE does not exist$/],
  ["serve --model TINY", /^Cannot serve: model llama-plain has no tokenizer$/],
  [
    "serve --model NEEDLE",
    /^Cannot serve: model needle has no chat template, so --chat-template m/,
  ],
  ["serve --model NEEDLE --chat-template NONE", /^Cannot read NONE: ENOENT/],
  [
    "serve --model NEEDLE --chat-template BROKEN",
    /^Cannot serve: the template of model needle is not understood \(/,
  ],
  [`${served} --prompt a`, /^Cannot serve: flag --prompt is not known$/],
  [`${served} --json`, /flag --json is not known$/],
  [`${served} --guesses 1`, /flag --guesses is not known$/],
  [`${served} --k -1`, /^Cannot serve: k -1 is below 0$/],
  [`${served} --context 0`, /contextTokens 0 is below 1$/],
  [[...served.split(" "), "--name", ""], /^Cannot serve: name "" is empty$/],
  [`${served} --port many`, /^Cannot serve: port many is not a number$/],
  [[...served.split(" "), "--port", ""], /port "" is not a number$/],
  [`${served} --port -1`, /port -1 is below 0$/],
  [`${served} --port 65536`, /port 65536 is above 65535$/],
  [`${served} --port 80.5`, /port 80\.5 is not an integer$/],
  [`${served} --port NaN`, /port NaN is not a number$/],
  [`${served} --port`, /--port is given no value$/],
  [[...served.split(" "), "--host", ""], /hostname "" is empty$/],
  ...["0.0.0.0", "::", "192.0.2.1", "example.com", "127.0.0.1.example.com"].map((host): Row => [
    `${served} --host ${host}`,
    /^Cannot serve: --host \S+ can be reached from other machines, so --api-key-file or --allow-/,
  ]),
  [`${served} --host 192.0.2.1 --allow-anyone`, /^Cannot serve: 192\.0\.2\.1 port 8080: /],
  [`${served} --host 192.0.2.1 --api-key-file KEYS`, /^Cannot serve: 192\.0\.2\.1 port 8080: /],
  [`${served} --allow-anyone --api-key-file KEYS`, /--allow-anyone is given with --api-key-file$/],
  [`${served} --allow-anyone=yes`, /--allow-anyone takes no value, not yes$/],
  [`${served} --api-key-file NONE`, /^Cannot read NONE: ENOENT/],
  [`${served} --api-key-file EMPTY`, /^Cannot read EMPTY: EISDIR/],
  [`${served} --api-key-file BLANK`, /^Cannot serve: BLANK has no key$/],
  [`${served} --api-key-file NOKEYS`, /^Cannot serve: NOKEYS has no key$/],
  [`${served} --api-key-file SPACED`, /SPACED line 2: character 4 is not visible ASCII$/],
  [`${served} --api-key-file UMLAUT`, /UMLAUT line 1: character 2 is not visible ASCII$/],
  [`${served} --api-key-file LONGKEY`, /LONGKEY line 1: 1001 characters are above 1000$/],
];

async function assertRefused(args: readonly string[] | string, sentence: RegExp): Promise<void> {
  using folder = new Folder();
  const known = Object.entries(paths(folder));
  const words = typeof args === "string" ? args.replace("SIZES", sizes).split(" ") : args;
  const given = words.map((word) =>
    known.reduce((text, [name, path]) => text.replace(new RegExp(`^${name}(?=/|$)`), path), word)
  );
  const { status, stdout, stderr } = await command(given);
  assertEquals([status, stdout], [2, ""], stderr);
  assertMatch(stderr, /^Cannot [^\n]+[^\n.]\n$/);
  const shown = known.toSorted(([, a], [, b]) => b.length - a.length)
    .reduce((text, [name, path]) => text.replaceAll(path, name), stderr.trimEnd());
  assertMatch(shown, sentence);
}

for (const [what, rows] of Object.entries({ flags, values, files, servers })) {
  for (const [args, sentence] of rows) {
    const line = typeof args === "string" ? args : args.map((arg) => arg || '""').join(" ");
    test(`specache refuses ${what}: ${JSON.stringify(line)}`, () => assertRefused(args, sentence));
  }
}

test("--verbose adds where an error came from", async () => {
  const { status, stderr } = await command(["plan", "--verbose"]);
  assertEquals(status, 2);
  assertMatch(stderr, /Cannot plan: --tokens is missing\n +at /);
});

test("a fault of the library's own exits with 1", async () => {
  const before = process.env.SPECACHE_LIBRARY;
  process.env.SPECACHE_LIBRARY = "/nowhere/libspecache.so";
  try {
    const { status, stdout, stderr } = await command(["plan", "--model", tiny, "--tokens", "9"]);
    assertEquals([status, stdout], [1, ""]);
    assertMatch(stderr, /^Cannot load libspecache: \/nowhere\/libspecache\.so: /);
  } finally {
    if (before === undefined) delete process.env.SPECACHE_LIBRARY;
    else process.env.SPECACHE_LIBRARY = before;
  }
});
