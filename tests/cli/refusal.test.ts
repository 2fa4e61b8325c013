import process from "node:process";
import { assertEquals, assertMatch, test } from "../harness.ts";
import { command, tiny } from "./command.ts";
import { type Row, testRefused } from "./refused.ts";

const bare = "generate --model TINY --ids-file IDS --json";
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
  ["generate --prompt a", /^Cannot generate: --model is missing$/],
  [["generate", "--model", "", "--prompt", "a"], /--model "" is empty$/],
  [`${tiny20} --modle x`, /^Cannot generate: flag --modle is not known; --help lists them$/],
  [`${tiny20} --toString x`, /flag --toString is not known; --help lists them$/],
  [`${tiny20} --K 3`, /flag --K is not known; --help lists them$/],
  [`${tiny20} -k 3`, /-k is not a flag; --help lists them$/],
  [`${tiny20} more`, /^Cannot generate: more is not a flag; --help lists them$/],
  [`${tiny20} --k`, /^Cannot generate: --k is given no value$/],
  [
    `${tiny20} --mode --json`,
    /--mode is given no value; one that begins with -- goes behind an =$/,
  ],
  [`${tiny20} --json=1`, /--json takes no value, not 1$/],
  [[...tiny20.split(" "), "--mode", "a\nb"], /--mode a b is none of full, paper, specache$/],
  ["doctor now", /^Cannot look at this machine: now is not a flag; --help lists them$/],
  ["doctor --json=1", /--json takes no value, not 1$/],
  ["doctor --fast", /flag --fast is not known; --help lists them$/],
  ["toolchain", /^Cannot fetch a toolchain: 0 names are given, not 1 of c\+\+, nvcc$/],
  ["toolchain c++ nvcc", /2 names are given, not 1 of c\+\+, nvcc$/],
  ["toolchain gcc", /^Cannot fetch a toolchain: name gcc is none of c\+\+, nvcc$/],
  [["toolchain", ""], /name "" is none of c\+\+, nvcc$/],
  ["toolchain toString", /name toString is none of/],
  ["toolchain c++ --force", /flag --force is not known; --help lists them$/],
  ["plan --model TINY", /^Cannot plan: --tokens is missing$/],
  [
    "plan --tokens 10",
    /^Cannot plan: neither --model nor --layers, --kv-heads, --query-heads, --head-dim are given$/,
  ],
  ["plan --tokens 10 --kv-heads 2", /^Cannot plan: --layers is missing$/],
  [
    "plan --tokens 10 --layers 2 --kv-heads 2 --query-heads 4",
    /^Cannot plan: --head-dim is missing$/,
  ],
  ["plan --tokens 10 --model TINY --layers 2", /--layers 2 is given beside --model/],
  ["plan --tokens 10 --model TINY --prompt a", /flag --prompt is not known; --help lists them$/],
];

// What a number may be at most.
const most: Readonly<Record<string, number>> = {
  ...{ k: 2 ** 24, slots: 2 ** 24, near: 2 ** 53 - 1, threads: 256, "max-tokens": 2 ** 24 },
  ...{ context: 2 ** 24, seed: 2 ** 53 - 1, logprobs: 100, temperature: 100 },
  ...{ "top-k": 2 ** 32 - 1, "top-p": 1, "min-p": 1, audit: 1, "audit-seed": 2 ** 53 - 1 },
};

const said = (flag: string, rest: string) => new RegExp(`^Cannot generate: --${flag} ${rest}`);

const values: readonly Row[] = [
  ...Object.keys(most).flatMap((name): Row[] => [
    [`${bare} --${name} many`, said(name, "many is not a number$")],
    [[...bare.split(" "), `--${name}=`], said(name, '"" is not a number$')],
    [`${bare} --${name} -1`, said(name, "-1 is below [01]$")],
    [`${bare} --${name} -1e30`, said(name, "-1e\\+30 is below [01]$")],
    [`${bare} --${name} NaN`, said(name, "NaN is not a number$")],
    [`${bare} --${name} Infinity`, said(name, "Infinity is (not|above) ")],
    [`${bare} --${name} 1e30`, said(name, `1e\\+30 is above ${most[name]}$`)],
    [`${bare} --${name} 1 --${name} 2`, new RegExp(`--${name} is given twice, 1 and 2$`)],
  ]),
  [`${tiny20} --k 2.5`, /--k 2\.5 is not an integer$/],
  [`${tiny20} --k 16777217`, /--k 16777217 is above 16777216$/],
  [
    `${tiny20} --setting compact --profile none`,
    /--setting compact needs a profile of the model, which --profile auto measures /,
  ],
  [`${tiny20} --setting tight`, /--setting tight is none of default, compact$/],
  ["profile", /^Cannot measure a profile: --model is missing$/],
  ["profile --model TINY", /^Cannot measure a profile: model .+ has no tokenizer$/],
  [`profile --model models/needle --tokens 127`, /--tokens 127 is below 128$/],
  [`${tiny20} --mode nonsense`, /--mode nonsense is none of full, paper, specache$/],
  [`${tiny20} --key-bits 3`, /--key-bits 3 is none of 1, 2$/],
  [`${tiny20} --value-bits one`, /--value-bits one is none of 1, 2$/],
  [`${tiny20} --group 48`, /--group 48 is none of 32, 64$/],
  [`${tiny20} --kv-type f8`, /--kv-type f8 is none of bf16, f16, f32$/],
  [`${tiny20} --guesses 4`, /--guesses 4 is none of auto, 0, 1, 2, 3$/],
  [`${tiny20} --late 2`, /--late 2 is above 1$/],
  [`${tiny20} --late -0.5`, /--late -0\.5 is below 0$/],
  [`${tiny20} --late some`, /--late some is none of all, none, a number from 0 to 1$/],
  [`${tiny20} --json --logprobs 1000`, /--logprobs 1000 is above 100$/],
  [`${tiny20} --temperature 101`, /--temperature 101 is above 100$/],
  ...["repetition", "presence", "frequency"].flatMap((name): Row[] => [
    [`${bare} --${name}-penalty many`, /^Cannot generate: --\w+-penalty many is not a number$/],
    [
      `${tiny20} --${name}-penalty -3`,
      /^Cannot generate: --\w+-penalty -3 is below (0\.01|-2)$/,
    ],
    [`${bare} --${name}-penalty 101`, /^Cannot generate: --\w+-penalty 101 is above (100|2)$/],
  ]),
  [`${tiny20} --top-k 2.5`, /--top-k 2\.5 is not an integer$/],
  [`${tiny20} --top-p 1.5`, /--top-p 1\.5 is above 1$/],
  [`${tiny20} --min-p 1.5`, /--min-p 1\.5 is above 1$/],
  [[...tiny20.split(" "), "--stop", ""], /^Cannot generate: --stop "" is empty$/],
  [`${tiny20}${" --stop a".repeat(17)}`, /--stop is given 17 times, above 16$/],
  [`${tiny20} --logprobs 3`, /--logprobs 3 is given without --json, which alone shows them$/],
  [`${tiny20} --chat-template TEMPLATE`, /--chat-template is given without --chat$/],
  [`${tiny20} --audit-seed 3`, /--audit-seed 3 has no use without --audit$/],
  [`${tiny20} --audit-warn 0.5`, /--audit-warn 0\.5 has no use without --audit$/],
  [`${tiny20} --accept on --late none`, /--accept on needs --late all$/],
  [`${tiny20} --stop a`, /has no tokenizer, so stop strings never come$/],
  [`${tiny20} --stop`, /--stop is given no value$/],
  [`${tiny20} --system S`, /^Cannot generate: --system is given without --chat$/],
  [`${tiny20} --chat`, /^Cannot generate: --chat wants text, not --ids-file$/],
  ["generate --model TINY --chat --prompt a", /^Cannot generate: model llama-plain has no tokeniz/],
  [
    "generate --model NEEDLE --chat --prompt a",
    /has no chat template, so --chat-template must be given or --chat left out$/,
  ],
  [
    "generate --model NEEDLE --chat --prompt a --chat-template NONE",
    /^Cannot read --chat-template NONE: it does not exist$/,
  ],
  [
    "generate --model NEEDLE --chat --prompt a --chat-template EMPTY",
    /^Cannot read --chat-template EMPTY: it is a folder, not a file$/,
  ],
  [
    "generate --model NEEDLE --chat --prompt a --chat-template BROKEN",
    /^Cannot write a conversation: the template of model needle is not understood \(/,
  ],
  [
    "generate --model NEEDLE --chat --prompt a --chat-template BLANK",
    /^Cannot write a conversation: --chat-template BLANK is empty$/,
  ],
  [`${tiny20} --threads 0`, /--threads 0 is below 1$/],
  [`${tiny20} --threads 1000`, /--threads 1000 is above 256$/],
  [`${tiny20} --device tpu`, /--device tpu is none of auto, cpu, cuda$/],
  [`${tiny20} --prefetch copy`, /--prefetch copy is none of read, gather$/],
  [`${tiny20} --prefetch gather`, /--prefetch gather has no use without --device cuda$/],
  [`${tiny20} --prefill quick`, /--prefill quick is none of exact, fast$/],
  [`${tiny20} --prefill fast`, /--prefill fast has no use without --device cuda$/],
  [`${tiny20} --activations int4`, /--activations int4 is none of float, int8$/],
  [
    `${tiny20} --activations int8 --device cuda`,
    /--activations int8 has no use with --device cuda$/,
  ],
  [`${tiny20} --context 0`, /--context 0 is below 1$/],
  [`${tiny20} --mode paper --late all`, /--late all is not none, as mode paper has it$/],
  [`${tiny20} --mode paper --guesses 0`, /--guesses 0 is not 1, as mode paper has it$/],
  [`${tiny20} --mode paper --slots 7`, /--slots 7 is not k \d+, the slots of mode paper$/],
  ["plan --model TINY --tokens many", /--tokens many is not a number$/],
  ["plan --model TINY --tokens 0", /--tokens 0 is below 1$/],
  ["plan --model TINY --tokens 99 --guesses few", /--guesses few is none of auto, 0, 1, 2, 3$/],
  ...["near", "far-bytes", "weights-bytes"].flatMap((name): Row[] => [
    [`plan SIZES --${name} many`, /^Cannot plan: --[\w-]+ many is not a number$/],
    [`plan SIZES --${name} NaN`, /^Cannot plan: --[\w-]+ NaN is not a number$/],
    [`plan SIZES --${name} -1`, /^Cannot plan: --[\w-]+ -1 is below 1$/],
    [`plan SIZES --${name} 0`, /^Cannot plan: --[\w-]+ 0 is below 1$/],
    [`plan SIZES --${name} 2.5`, /^Cannot plan: --[\w-]+ 2\.5 is not an integer$/],
    [`plan SIZES --${name} 1e300`, /^Cannot plan: --[\w-]+ 1e\+300 is above 9007199254740991$/],
    [`plan SIZES --${name}=`, /^Cannot plan: --[\w-]+ "" is not a number$/],
  ]),
  [
    "plan SIZES --weights-bytes 9 --weights-type q9",
    /--weights-type q9 is none of f32, f16, bf16, /,
  ],
  ["plan SIZES --weights-type q8_0", /--weights-type q8_0 is given without --weights-bytes$/],
  ["plan SIZES --no-measure=1", /--no-measure takes no value, not 1$/],
  ["plan --model TINY --tokens 9 --weights-bytes 9", /--weights-bytes 9 is given beside --model$/],
  ["plan --model TINY --tokens 9 --weights-type f16", /--weights-type f16 is given beside --mod/],
  ["plan --model TINY --tokens 99 --k -1", /^Cannot plan: --k -1 is below 0$/],
  [
    "plan --layers 2 --kv-heads 2 --query-heads 4 --head-dim 20 --tokens 9",
    /--head-dim 20 is not a multiple of 8$/,
  ],
  [
    "plan --layers 2 --kv-heads 3 --query-heads 4 --head-dim 16 --tokens 9",
    /--query-heads 4 is not a multiple of --kv-heads 3$/,
  ],
];

const files: readonly Row[] = [
  [
    "generate --model TINY --prompt-file NONE",
    /^Cannot read --prompt-file NONE: it does not exist$/,
  ],
  [
    "generate --model TINY --prompt-file EMPTY",
    /^Cannot read --prompt-file EMPTY: it is a folder, not a file$/,
  ],
  ["generate --model TINY --prompt-file=", /^Cannot read --prompt-file "": it is empty, and wants/],
  ["generate --model TINY --ids-file NONE", /^Cannot read --ids-file NONE: it does not exist$/],
  [
    "generate --model TINY --ids-file TEXT",
    /--ids-file TEXT is not a JSON array of token ids, such as \[1, 2\]$/,
  ],
  [
    "generate --model TINY --ids-file OBJECT",
    /--ids-file OBJECT is not a JSON array of token ids, such as/,
  ],
  ["generate --model TINY --ids-file FLOAT", /--ids-file\[1\] 2\.5 is not an integer$/],
  ["generate --model TINY --ids-file NEGATIVE", /--ids-file\[1\] -3 is below 0$/],
  ["generate --model TINY --ids-file WORD", /--ids-file\[1\] two is not a number$/],
  ["generate --model TINY --ids-file LARGE", /id 99999 is not below the vocabulary's 320$/],
  ["generate --model TINY --ids-file NOTHING", /the prompt is empty/],
  [["generate", "--model", "NEEDLE", "--prompt", ""], /the prompt is empty/],
  [
    "generate --model TINY --prompt a",
    /model llama-plain has no tokenizer, so --ids-file must be given$/,
  ],
  ["generate --model NONE --prompt a", /^Cannot open model: NONE does not exist$/],
  [
    "generate --model EMPTY --prompt a",
    /^Cannot open model: EMPTY\/config\.json does not exist, which/,
  ],
  [
    "generate --model TEXT --ids-file IDS",
    /^Cannot open model: TEXT is not a GGUF file; a Hugging Face model is opened by its f/,
  ],
  ["generate --model BLANK --ids-file IDS", /^Cannot open model: BLANK is empty$/],
  [
    "generate --model BAD/gguf-bad-magic.gguf --ids-file IDS",
    /gguf-bad-magic\.gguf is not a GGUF file; a Hugging Face model is opened by its f/,
  ],
  [
    "generate --model BAD/st-missing-tensor --ids-file IDS",
    /^Cannot open model: .+: tensor model\.layers\.0\.mlp\.up_proj\.weight is missing$/,
  ],
  [
    "generate --model GOLDEN/mistral-sliding --ids-file IDS",
    /: sliding_window 32 is below max_position_embeddings 512$/,
  ],
  ["plan --model NONE --tokens 10", /^Cannot open model: NONE does not exist$/],
  [`${tiny20} --profile NONE`, /^Cannot read profile: NONE does not exist$/],
  [`${tiny20} --profile TEXT`, /^Cannot read profile: TEXT: /],
  [`${tiny20} --profile PROFILE`, /^Cannot read profile: PROFILE: keyBits is .*\[1,2\].*\[2,2\]$/],
  [`${tiny20} --mode paper --profile PROFILE`, /PROFILE has no use with rule paper$/],
  [
    `${tiny20} --far NONE/far`,
    /--far NONE\/far is in a folder that does not exist; make it first$/,
  ],
  [`${tiny20} --far TEXT/far`, /--far TEXT\/far has a file where its path wants a folder$/],
  [`${tiny20} --far EMPTY`, /--far EMPTY exists; name a new file$/],
  [`${tiny20} --far=`, /--far "" is neither ram nor FILE$/],
  [`${tiny20} --far FAR --far-bytes many`, /^Cannot generate: --far-bytes many is not a number$/],
  [`${tiny20} --far FAR --far-bytes 0`, /^Cannot generate: --far-bytes 0 is below 1$/],
  [`${tiny20} --far FAR --far-bytes 1e30`, /--far-bytes 1e\+30 is above 9007199254740991$/],
  [`${tiny20} --far TEXT`, /--far TEXT exists; name a new file$/],
  [
    `${tiny20} --far FAR --far-bytes 10`,
    /far memory needs \d+ bytes, --far-bytes is 10; specache plan tells what would fit$/,
  ],
  [`${tiny20} --far-bytes 10`, /^Cannot reserve --far-bytes 10: --far names no file, /],
  [`${tiny20} --far ram --far-bytes 10`, /--far-bytes 10: --far names no file, /],
  [
    `${tiny20} --near 10`,
    /near memory needs \d+ bytes, --near is 10; specache plan tells what would fit$/,
  ],
  [`${tiny20} --context 22`, /20 of the prompt and --max-tokens 4 are above --context 22$/],
  [`${tiny20} --context 600`, /--context 600 is above the model's 512$/],
  [
    "generate --model TINY --ids-file IDS --max-tokens 600",
    /20 tokens of the prompt and --max-tokens 600 are above the model's 512$/,
  ],
];

testRefused({ flags, values, files });

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
    assertMatch(
      stderr,
      /^Cannot load libspecache: \/nowhere\/libspecache\.so does not exist; SPECACHE_LIBRARY/,
    );
  } finally {
    if (before === undefined) delete process.env.SPECACHE_LIBRARY;
    else process.env.SPECACHE_LIBRARY = before;
  }
});
