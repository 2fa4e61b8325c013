// A chat from a pipe: turns, slash commands, what each turn reads, and what is said of it.
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { chatFlags } from "../../../cli/chat.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes, test } from "../../harness.ts";
import { command, Folder, jsonOf, needle } from "../command.ts";
import { chatArgs, chatOf, textOf } from "./support.ts";

const FACT = "The code of amber is 44219. The weather is fine. What is the code of amber?";
const eight = ["--max-tokens", "8", "--mode", "full"];
const plain = ["generate", "--model", needle, "--profile", "none", ...eight];

/** The answer to a text, as generate gives it. */
async function answerTo(text: string): Promise<string> {
  return (await jsonOf([...plain, "--prompt", text])).text;
}

const status = String.raw`near \S+ \S+ of \S+ \S+ \(ratio \d+\.\d{3}\), ` +
  String.raw`(no guesses|guesses \d+ of \d+ right), \d+\.\d tokens\/s`;

test("each line is a turn, and the answers are those to one long prompt", async () => {
  const first = await answerTo(textOf(FACT));
  const second = await answerTo(textOf(FACT, first, "Again?"));
  const { stdout, stderr, ...ended } = await chatOf([FACT, "", "Again?"], ...eight);
  assertEquals([ended.status, stdout], [0, `${lineOf(first)}${lineOf(second)}`]);
  const line = `cut: 8 tokens, as asked, ${status}\n`;
  assertMatch(stderr, new RegExp(`^${line}${line}$`));
});

function lineOf(answer: string): string {
  return answer.endsWith("\n") ? answer : `${answer}\n`;
}

/** [read, held before] of each turn, which --verbose tells. */
function readOf(stderr: string): number[][] {
  return [...stderr.matchAll(/read (\d+) tokens, (\d+) held before/g)]
    .map(([, read, held]) => [Number(read), Number(held)]);
}

test("a turn reads only what is new, an undone one goes back, a mode reads again", async () => {
  const lines = [FACT, "Again?", "/undo", "Again?", "/mode specache", "Once more?", "/reset", "Hi"];
  const { status, stderr } = await chatOf(lines, "--verbose", ...eight);
  assertEquals(status, 0, stderr);
  const [first, second, again, reopened, reset] = readOf(stderr);
  assertEquals(first[1], 0);
  // The last token of an answer is read with what comes next.
  assertEquals(second[1], first[0] + 7);
  assert(second[0] < first[0], `${second}`);
  assertEquals(again[0] + again[1], second[0] + second[1]);
  assert(again[1] >= first[0], `${again}`);
  const [, tokens] = stderr.match(
    /^Mode specache: (\d+) tokens of the conversation read again, /m,
  )!;
  assert(Number(tokens) > second[0] + second[1], tokens);
  assert(reopened[1] >= Number(tokens) - 1 && reopened[0] < first[0], `${reopened}`);
  assert(reset[0] + reset[1] < first[0], `${reset}`);
});

test("guesses are those of the answer, also behind a mode that was opened again", async () => {
  using folder = new Folder();
  const far = ["--far", folder.of("far"), "--accept", "off", "--max-tokens", "8"];
  const lines = [FACT, "Again?", "/mode full", "/mode specache", "Once more?", "/stats"];
  const { status, stderr } = await chatOf(lines, ...far);
  assertEquals(status, 0, stderr);
  const made = [...stderr.matchAll(/, guesses \d+ of (\d+) right, /g)].map(([, count]) => count);
  assertEquals(made, ["7", "7", "7"]); // the first token comes of the prompt
  assertMatch(stderr, /^ {2}guesses right +\d of 7\n/m);
});

test("/mode changes the mode, and one that cannot be opened leaves it", async () => {
  const lines = [FACT, "/mode", "/mode paper", "/mode", "Again?", "/stats"];
  const opened = await chatOf(lines, ...eight);
  assertMatch(opened.stderr, /^mode full\nOpening the model again in mode paper\n/m);
  assertMatch(opened.stderr, /^mode paper\n/m);
  assertMatch(opened.stderr, /^ {2}mode +paper\n/m);
  assertEquals(opened.status, 0);
  const slots = ["--slots", "7", "--max-tokens", "4"];
  const kept = await chatOf([FACT, "/mode paper", "/mode", "Again?"], ...slots);
  assertMatch(
    kept.stderr,
    /^Cannot open an engine: --slots 7 is not k 64, the slots of mode paper$/m,
  );
  assertMatch(kept.stderr, /^mode specache$/m);
  assertEquals(kept.stdout.trimEnd().split("\n").length >= 2, true);
  assertMatch(kept.stderr, /Cannot chat: 1 of 2 commands failed\n$/);
  assertEquals(kept.status, 2);
});

test("lines that go on and blocks are one turn; the end of the input ends it", async () => {
  const text = "/one\ntwo";
  const expected = lineOf(await answerTo(textOf(text)));
  for (const lines of [['"""/one', 'two"""'], ['"""', "/one", "two", '"""'], ["/one\\", "two"]]) {
    assertEquals((await chatOf(lines, ...eight)).stdout, expected);
  }
  assertEquals((await chatOf(['"""/one', "two"], ...eight)).stdout, expected);
});

test("/system comes before all turns, and none takes it away", async () => {
  const lines = ["/system", "/system Be brief.", "/system", FACT, "/system none"];
  const { stdout, stderr } = await chatOf(lines, ...eight);
  const flagged = await chatOf([FACT], "--system", "Be brief.", ...eight);
  assertEquals(stdout, flagged.stdout);
  assertEquals(stdout, lineOf(await answerTo(`system:Be brief.\n${textOf(FACT)}`)));
  const said = stderr.split("\n").filter((line) => line.includes("system"));
  const set = "system: Be brief.";
  assertEquals(said, ["There is no system text", set, set, "There is no system text"]);
});

test("settings are shown, set, and judged", async () => {
  const numbers = { temperature: 1.5, "top-k": 20, "top-p": 0.9, "min-p": 0.01, seed: 7 };
  const flags = Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const set = Object.entries(numbers).map(([name, value]) => `/${name} ${value}`);
  const lines = ["/temperature", ...set, "/max-tokens 8", "/seed", FACT];
  const { stdout, stderr } = await chatOf(lines, "--mode", "full");
  assertEquals(stdout, (await chatOf([FACT], ...flags, ...eight)).stdout);
  assertMatch(stderr, /^temperature as it is by default\ntemperature 1\.5\n/);
  assertMatch(stderr, /\nmax-tokens 8\nseed 7\n/);
});

test("/save writes the conversation to a file that was not there", async () => {
  using folder = new Folder();
  const [json, text, there] = [
    folder.of("a.json"),
    folder.of("a b.txt"),
    folder.file("old", "old"),
  ];
  const lines = ["/system Be brief.", FACT, `/save ${json}`, `/save ${text}`, `/save ${there}`];
  const { stdout, stderr, status } = await chatOf(lines, ...eight);
  const messages = JSON.parse(readFileSync(json, "utf8"));
  assertEquals(messages.map(({ role }: { role: string }) => role), ["system", "user", "assistant"]);
  assertEquals([messages[1].content, lineOf(messages[2].content)], [FACT, stdout]);
  assertStringIncludes(readFileSync(text, "utf8"), `system:\nBe brief.\n\nuser:\n${FACT}\n`);
  assertMatch(stderr, /^Cannot save: .+ exists; name a new one$/m);
  assertEquals([readFileSync(there, "utf8"), status], ["old", 2]);
});

test("/quit and /exit end the chat before what comes after them", async () => {
  for (const quit of ["/quit", "/exit", "/quit "]) {
    const { status, stdout, stderr } = await chatOf([quit, FACT], ...eight);
    assertEquals([status, stdout, stderr], [0, "", ""]);
  }
});

test("/help lists each command, and so does --help, which names each flag", async () => {
  const { stderr } = await chatOf(["/help"], ...eight);
  const names = [...stderr.matchAll(/^ {2}\/([\w-]+)/gm)].map(([, name]) => name);
  assertEquals(names.slice(0, 3), ["mode", "system", "temperature"]);
  const { stdout } = await command(["chat", "--help"]);
  assertStringIncludes(stdout, stderr);
  const missing = Object.keys(chatFlags).filter((flag) => !stdout.includes(`--${flag}`));
  assertEquals(missing, []);
});

test("an answer is cut where the context ends, and then a turn says what makes room", async () => {
  const flags = ["--context", "48", "--max-tokens", "500"];
  const { status, stdout, stderr } = await chatOf([FACT, "Again?", "/reset", FACT], ...flags);
  assertMatch(stderr, /^cut: the context is full, near /);
  assertMatch(
    stderr,
    /^Cannot answer: \d+ tokens held and \d+ new ones are above the context's 48;/m,
  );
  assertEquals(stderr.match(/^cut: the context is full/gm)?.length, 2);
  assertMatch(stderr, /Cannot chat: 1 of 3 turns failed\n$/);
  assertEquals(status, 2);
  const [first] = stdout.split("\n");
  assert(stdout.lastIndexOf(first) > 0, stdout);
});

test("without a terminal there are no colours, no prompt and no history", async () => {
  using home = new Folder();
  const { SPECACHE_HOME, NO_COLOR } = process.env;
  process.env.SPECACHE_HOME = home.path;
  delete process.env.NO_COLOR;
  try {
    const { stdout, stderr } = await chatOf([FACT, "/nonsense"], ...eight);
    assert(!`${stdout}${stderr}`.includes("\x1b") && !stderr.includes("> "), stderr);
    assert(!existsSync(home.of("chat_history")));
  } finally {
    if (SPECACHE_HOME === undefined) delete process.env.SPECACHE_HOME;
    else process.env.SPECACHE_HOME = SPECACHE_HOME;
    if (NO_COLOR !== undefined) process.env.NO_COLOR = NO_COLOR;
  }
});

test("no listener for Ctrl-C stays", async () => {
  const listeners = process.listenerCount("SIGINT");
  await chatOf(["/help"], ...eight);
  assertEquals(process.listenerCount("SIGINT"), listeners);
});

test("nothing is opened where --chat-template would fail the first turn", async () => {
  using folder = new Folder();
  const args = chatArgs(folder);
  const at = args.indexOf("--chat-template");
  const { status, stderr } = await command(args.toSpliced(at, 2));
  assertMatch(stderr, /^Cannot write a conversation: model needle has no chat template/);
  assertEquals(status, 2);
});
