// Chats in processes of their own: on a terminal, with keys and history, and Ctrl-C by its signal.
import { existsSync, readFileSync } from "node:fs";
import {
  assert,
  assertEquals,
  assertFalse,
  assertMatch,
  assertStringIncludes,
  test,
} from "../../harness.ts";
import { Folder } from "../command.ts";
import { Program, type ProgramOptions } from "./program.ts";
import { chatArgs } from "./support.ts";

const FACT = "The code of amber is 44219. What is the code of amber?";
const ENTER = "\r";
const UP = "\x1b[A";
const CTRL_C = "\x03";
const CTRL_D = "\x04";
const short = ["--max-tokens", "4"];
const long = ["--max-tokens", "4000", "--seed", "1"];
// A prompt is the last that is written, but for where readline puts the cursor.
const [PROMPT, MORE] = ["> ", "\\. "].map((prompt) => new RegExp(`${prompt}(\x1b\\[3G)?$`));
const ANSWERED = /tokens\/s/;

function terminal(folder: Folder, flags: readonly string[], options: ProgramOptions = {}): Program {
  const environment = { SPECACHE_HOME: folder.path, ...options.environment };
  return new Program(chatArgs(folder, ...flags), { ...options, terminal: true, environment });
}

/** Types a line at the prompt and waits for the line after its answer and the next prompt. */
async function ask(program: Program, line: string): Promise<void> {
  const from = program.written.length;
  program.type(line + ENTER);
  await program.wait(ANSWERED, from);
  await program.wait(PROMPT, from);
}

test("on a terminal keys edit, the arrow brings lines back, and Ctrl-D ends with 0", async () => {
  using folder = new Folder();
  await using program = terminal(folder, short);
  await program.wait(PROMPT);
  await ask(program, `${FACT}x\x7f`); // a letter too much, and Backspace
  await ask(program, "Again?");
  const from = program.written.length;
  program.type(UP + UP);
  await program.wait(/> The code of amber is 44219\. What is the code of amber\?/, from);
  await ask(program, "");
  program.type(CTRL_D);
  assertEquals(await program.status, 0);
  const history = readFileSync(folder.of("chat_history"), "utf8");
  assertEquals(history, `${FACT}\nAgain?\n${FACT}\n`);
});

test("the next chat has the lines of the one before, and /quit ends with 0", async () => {
  using folder = new Folder();
  folder.file("chat_history", "older\nnewer\n");
  await using program = terminal(folder, short);
  await program.wait(PROMPT);
  program.type(UP + UP);
  await program.wait(/> older/);
  program.type("\x15/quit" + ENTER); // Ctrl-U clears the line
  assertEquals(await program.status, 0);
  assertEquals(readFileSync(folder.of("chat_history"), "utf8"), "older\nnewer\n/quit\n");
});

test("--no-history reads and keeps no lines", async () => {
  using folder = new Folder();
  await using program = terminal(folder, [...short, "--no-history"]);
  await program.wait(PROMPT);
  await ask(program, "Hello");
  program.type("/quit" + ENTER);
  assertEquals(await program.status, 0);
  assertFalse(existsSync(folder.of("chat_history")));
});

test("Ctrl-C on a terminal stops the answer, drops what was typed ahead, and goes on", async () => {
  using folder = new Folder();
  await using program = terminal(folder, long);
  await program.wait(PROMPT);
  const from = program.written.length;
  program.type(FACT + ENTER);
  await program.wait(/amber\?\r+\n[^]*\w{3}/, from); // what was typed, and an answer's begin
  program.type(`/stats${ENTER}${CTRL_C}`);
  await program.wait(/stopped, near [^]*> /, from);
  program.type("/max-tokens 4" + ENTER);
  await ask(program, "Again?");
  program.type(CTRL_D);
  assertEquals(await program.status, 0);
  assertFalse(program.written.includes("16-bit cache"), program.written);
});

test("Ctrl-C clears a line, and twice on an empty line it ends the chat", async () => {
  using folder = new Folder();
  await using program = terminal(folder, short);
  await program.wait(PROMPT);
  for (const [typed, seen] of [["half a", /half a/], ['"""' + ENTER, MORE]] as const) {
    const from = program.written.length;
    program.type(typed);
    await program.wait(seen, from);
    program.type(CTRL_C);
    await program.wait(/\^C\r\n[^]*> /, from);
  }
  let from = program.written.length;
  await ask(program, "whole");
  assertFalse(program.written.slice(from).includes("half"));
  from = program.written.length;
  program.type(CTRL_C);
  await program.wait(/Ctrl-C again ends the chat[^]*> /, from);
  await ask(program, "still there"); // so the next Ctrl-C is a first one
  from = program.written.length;
  program.type(CTRL_C);
  await program.wait(/Ctrl-C again ends the chat[^]*> /, from);
  program.type(CTRL_C);
  assertEquals(await program.status, 0);
});

test("what is typed during an answer is the next turn, seen once the answer ended", async () => {
  using folder = new Folder();
  await using program = terminal(folder, ["--max-tokens", "300"]);
  await program.wait(PROMPT);
  program.type(FACT + ENTER + "/max-tokens 3" + ENTER + "/quit" + ENTER);
  assertEquals(await program.status, 0);
  assertMatch(program.written, /tokens\/s\r\n> \/max-tokens 3\r\nmax-tokens 3\r\n> \/quit\r\n$/);
});

for (const [name, NO_COLOR] of [["with NO_COLOR", "1"], ["without it", undefined]] as const) {
  test(`a terminal ${name} sees ${NO_COLOR ? "no colours" : "colours"}`, async () => {
    using folder = new Folder();
    await using program = terminal(folder, short, { environment: { NO_COLOR } });
    await program.wait(/> /);
    const from = program.written.length;
    program.type(`/nonsense${ENTER}`);
    await program.wait(/which \/help lists/, from);
    program.type(CTRL_D);
    assertEquals(await program.status, 0);
    // deno-lint-ignore no-control-regex -- colours are control sequences
    assertEquals(/\x1b\[(1|2|31)m/.test(program.written), NO_COLOR === undefined);
  });
}

test("SIGINT stops the answer of a chat with a pipe, which goes on and ends with 0", async () => {
  using folder = new Folder();
  await using program = new Program(chatArgs(folder, ...long));
  program.type(`${FACT}\n`);
  await program.wait(/\w{3}/);
  program.interrupt();
  await program.wait(/^stopped, near .* tokens\/s$/m);
  const stopped = program.stdout;
  assert(stopped.endsWith("\n"), stopped);
  program.type("/max-tokens 4\nAgain?\n");
  await program.wait(/^cut: 4 tokens, as asked, near/m);
  program.end();
  assertEquals(await program.status, 0);
  assertStringIncludes(program.stdout, stopped);
});

test("Ctrl-C during a long prompt forgets the turn, and the chat goes on", async () => {
  using folder = new Folder();
  const system = "The weather is fine today. ".repeat(600);
  await using program = terminal(folder, [...short, "--verbose", "--system", system]);
  await program.wait(PROMPT);
  program.type(FACT + ENTER);
  await program.wait(/prefill \[#/);
  program.type(CTRL_C);
  await program.wait(/stopped: the turn is forgotten\r\n[^]*> /);
  program.type(`/system none${ENTER}`);
  await program.wait(/There is no system text/);
  program.type(`Hello${ENTER}`);
  await program.wait(/cut: 4 tokens, as asked, read \d{1,2} tokens, \d held before/);
  program.type(CTRL_D);
  assertEquals(await program.status, 0);
});

test("SIGINT twice while a pipe is silent ends the chat", async () => {
  using folder = new Folder();
  await using program = new Program(chatArgs(folder, ...short));
  program.type(`${FACT}\n`);
  await program.wait(ANSWERED);
  program.interrupt();
  await program.wait(/Ctrl-C again ends the chat/);
  program.interrupt();
  assertEquals(await program.status, 0);
});
