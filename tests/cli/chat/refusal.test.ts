// Bad input to chat: its flags end it with status 2 and one sentence before anything is opened, and
// what is typed wrong is answered with one sentence, the chat going on.
import { chatFlags } from "../../../cli/chat.ts";
import { assert, assertEquals, assertFalse, assertMatch, test } from "../../harness.ts";
import { command, Folder, needle, pathOf, tiny } from "../command.ts";
import { chatArgs, chatOf } from "./support.ts";

// [flags, sentence]
const flags: readonly (readonly [flags: readonly string[], sentence: RegExp])[] = [
  [["--json"], /^Cannot chat: flag --json is not known; --help lists them\n$/],
  [["--prompt", "a"], /flag --prompt is not known; --help lists them\n$/],
  [["--logprobs", "3"], /flag --logprobs is not known; --help lists them\n$/],
  [["--modle", "x"], /flag --modle is not known; --help lists them\n$/],
  [["-h"], /^Cannot chat: -h is not a flag; --help lists them\n$/],
  [["hello"], /^Cannot chat: hello is not a flag; --help lists them\n$/],
  [[""], /^Cannot chat: "" is not a flag; --help lists them\n$/],
  [["--no-history=yes"], /--no-history takes no value, not yes\n$/],
  [["--system"], /--system is given no value\n$/],
  [["--mode", "nonsense"], /^Cannot chat: --mode nonsense is none of full, paper, specache\n$/],
  [["--mode="], /--mode "" is none of/],
  [
    ["--chat-template", pathOf("tests/none")],
    /^Cannot read --chat-template .*none: it does not exist\n$/,
  ],
  [
    ["--chat-template", pathOf("tests")],
    /^Cannot read --chat-template .*tests: it is a folder, not a file\n$/,
  ],
  [["--model", ""], /--model "" is empty\n$/],
  [["--model", pathOf("tests/none")], /^Cannot /],
  [["--model", tiny], /model llama-plain has no tokenizer, so there is no text to talk in\n$/],
  [["--stop", ""], /^Cannot chat: --stop "" is empty\n$/],
  [["--late", "some"], /--late some is none of all, none, a number from 0 to 1\n$/],
  [["--late", "2"], /--late 2 is above 1\n$/],
  [["--accept", "maybe"], /--accept maybe is none of auto, on, off\n$/],
  [["--guesses", "4"], /--guesses 4 is none of auto, 0, 1, 2, 3\n$/],
  [["--context", "1e9"], /--context 1000000000 is above 16777216\n$/],
  [
    ["--context", "16777216"],
    /^Cannot open an engine: --context 16777216 is above the model's/,
  ],
  [
    ["--far-bytes", "5"],
    /^Cannot reserve --far-bytes 5: --far names no file, and budgets are of one\n$/,
  ],
  [["--k", "1", "--k", "2"], /^Cannot chat: --k is given twice, 1 and 2\n$/],
  [["--mode", "paper", "--late", "all"], /^Cannot chat: --late all is not none, as mode paper/],
  [["--accept", "on", "--late", "none"], /^Cannot chat: --accept on needs --late all\n$/],
  [["--late", ""], /--late "" is none of all, none, a number from 0 to 1\n$/],
  [["--far", ""], /--far "" is neither ram nor FILE\n$/],
  [
    ["--near", "9"],
    /near memory needs \d+ bytes, --near is 9; specache plan tells what would fit\n$/,
  ],
  [["--prefill", "fast"], /--prefill fast has no use without --device cuda\n$/],
  ...[
    ...["context", "max-tokens", "k", "slots", "near", "threads", "seed", "temperature"],
    ...["top-k", "top-p", "min-p", "audit", "audit-seed", "audit-warn"],
    ...["repetition-penalty", "presence-penalty", "frequency-penalty"],
  ].flatMap((name) =>
    ["many", "", " ", "NaN", "-9", "Infinity"].map((value) =>
      [
        [`--${name}=${value}`],
        new RegExp(`^Cannot chat: --${name} (\\S+| ) is (not|below|above) .*\n$`),
      ] as const
    )
  ),
];

test("chat refuses bad flags with one sentence and status 2", async () => {
  using folder = new Folder();
  for (const [given, sentence] of flags) {
    const ended = await command(chatArgs(folder, ...given));
    assertMatch(ended.stderr, sentence, given.join(" "));
    assertEquals([ended.status, ended.stdout], [2, ""], given.join(" "));
    assertEquals(ended.stderr.split("\n").length, 2, ended.stderr);
  }
});

test("chat without a model says so", async () => {
  const { status, stderr } = await command(["chat"]);
  assertEquals([status, stderr], [2, "Cannot chat: --model is missing\n"]);
});

test("the table names flags that there are, but for those that it says are not known", () => {
  for (const [[flag], sentence] of flags) {
    const name = flag.match(/^--([\w-]+)/)?.[1];
    if (name !== undefined && !sentence.source.includes("not known")) {
      assert(Object.hasOwn(chatFlags, name), name);
    }
  }
});

// [line, sentence]
const lines: readonly (readonly [line: string, sentence: RegExp])[] = [
  ["/", /^Cannot run \/: it is none of the commands, which \/help lists$/m],
  ["/nonsense", /^Cannot run \/nonsense: it is none of the commands/m],
  ["/constructor", /^Cannot run \/constructor: it is none/m],
  ["/__proto__ x", /^Cannot run \/__proto__: it is none/m],
  ["/Mode full", /^Cannot run \/Mode: it is none/m],
  ["//", /^Cannot run \/\/: it is none/m],
  ["/mode fast", /^Cannot run \/mode: fast is none of full, paper, specache$/m],
  ["/mode full paper", /^Cannot run \/mode: full paper is none of/m],
  ["/undo 2", /^Cannot run \/undo: it takes no 2$/m],
  ["/reset all", /^Cannot run \/reset: it takes no all$/m],
  ["/quit now", /^Cannot run \/quit: it takes no now$/m],
  ["/exit now", /^Cannot run \/quit: it takes no now$/m],
  ["/stats x", /^Cannot run \/stats: it takes no x$/m],
  ["/help me", /^Cannot run \/help: it takes no me$/m],
  ["/save", /^Cannot run \/save: it wants FILE$/m],
  ["/save  ", /^Cannot run \/save: it wants FILE$/m],
  [
    "/save /no/such/folder/file",
    /^Cannot save: \/no\/such\/folder\/file is in a folder that does not exist; make it first$/m,
  ],
  ["/save .", /^Cannot save: \. exists; name a new one$/m],
  ["/temperature hot", /^Cannot set \/temperature: temperature hot is not a number$/m],
  ["/temperature -1", /^Cannot set \/temperature: temperature -1 is below 0$/m],
  ["/temperature NaN", /temperature NaN is not a number$/m],
  ["/temperature 1e99", /temperature 1e\+99 is above 100$/m],
  ["/temperature 1 2", /temperature 1 2 is not a number$/m],
  ["/top-k 2.5", /^Cannot set \/top-k: top-k 2\.5 is not an integer$/m],
  ["/top-p 2", /top-p 2 is above 1$/m],
  ["/min-p -0.1", /min-p -0\.1 is below 0$/m],
  ["/seed -1", /seed -1 is below 0$/m],
  ["/max-tokens 1e9", /max-tokens 1000000000 is above 16777216$/m],
];

test("chat answers what is typed wrong with one sentence and goes on", async () => {
  const typed = lines.map(([line]) => line);
  const { status, stdout, stderr } = await chatOf([...typed, "/seed"], "--seed", "3");
  const said = stderr.split("\n");
  lines.forEach(([line, sentence], at) => assertMatch(said[at], sentence, line));
  const count = `${lines.length} of ${lines.length + 1}`;
  assertEquals(said.slice(lines.length), ["seed 3", `Cannot chat: ${count} commands failed`, ""]);
  assertEquals([status, stdout], [2, ""]);
  assertFalse(stderr.includes("    at "));
});

test("--verbose tells where an error came from", async () => {
  const { stderr } = await chatOf(["/nonsense"], "--verbose");
  assertMatch(stderr, /^SpecacheError: Cannot run \/nonsense: .*\n {4}at /);
});

test("a text with a NUL, half a character or none in a turn is no fault of chat", async () => {
  const { status, stderr } = await chatOf(["\0", "\ufffd", "é\u200b", "\t"], "--max-tokens", "2");
  assertEquals(status, 0, stderr);
  assertEquals(stderr.match(/tokens\/s/g)?.length, 3);
});

test("chat takes a model by its path alone, with no flag more", async () => {
  const { stderr } = await command(["chat", `--model=${needle}`]);
  assertMatch(stderr, /^Cannot write a conversation: model needle has no chat template/);
});
