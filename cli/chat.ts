// chat.ts - `specache chat`: a conversation in the terminal, or one line a turn from a pipe.
// Answers go to standard output, all else to standard error.
import { type EngineOptions, engineOptions } from "../engine/config.ts";
import { generateOptions } from "../engine/config_generate.ts";
import type { Message } from "../engine/conversation.ts";
import { SpecacheError } from "../engine/errors.ts";
import { parse } from "../engine/parse.ts";
import { conversationText, promptHost, tokenizerOf } from "../engine/prompt.ts";
import { settle, settleRequest } from "../engine/settings.ts";
import { type Colours, coloursFor } from "./chat/colours.ts";
import { Console, isInteractive } from "./chat/console.ts";
import { History, historyPath } from "./chat/history.ts";
import { runSlash, slashHelp } from "./chat/slash.ts";
import { statusLine } from "./chat/status.ts";
import { Talk, type Watch } from "./chat/talk.ts";
import { type Turn, TurnReader } from "./chat/turns.ts";
import { ensureLibrary } from "./library.ts";
import {
  answerFlags,
  cacheFlags,
  engineOptionsOf,
  generateOptionsOf,
  readFlags,
} from "./options.ts";
import { harmless, progressBar, type Streams } from "./output.ts";
import { sentenceOf } from "./words.ts";

const ACTION = "chat";
const CONTEXT = 8192; // tokens, where the model has as many: memory is reserved for them
const ANSWER = 1024; // tokens
const CHUNK = 512; // tokens that are read at a time: a shorter prompt needs no bar
const { json: _, ...cache } = cacheFlags; // there is no one result to print

/** Flags of the command. */
export const chatFlags = {
  ...cache,
  ...answerFlags,
  "no-history": { type: "boolean" },
} as const;

/** Help of the command. */
export const chatHelp = `specache chat - talks with a model; each turn reads only what is new

  --model PATH           folder of a Hugging Face model, GGUF file, or name of a pulled model
  --system S             what comes before all turns
  --chat-template F      another template than the model's own (Jinja)
  --context N            tokens of the conversation; default ${CONTEXT}, or the model's longest
  --max-tokens N         of an answer; default ${ANSWER}
  --no-history           keeps no lines typed; else they are in chat_history of the cache folder
  --verbose              tells what each turn read, and where an error came from
  --mode, --rule, --setting, --k, --key-bits, --value-bits, --profile, --group, --slots,
  --guesses, --late, --accept, --kv-type, --far, --far-bytes, --near, --threads, --device,
  --prefetch, --prefill, --activations, --audit, --audit-seed, --audit-warn, --temperature,
  --top-k, --top-p, --min-p, --repetition-penalty, --presence-penalty, --frequency-penalty,
  --seed, --stop, --help
                         as for generate

In the chat
${slashHelp}
From a pipe each line is a turn; the status is not 0 where a turn failed.

  specache chat --model smollm2-135m-instruct --system "Be brief."
  specache chat --model model.gguf --far /var/tmp/far --temperature 0.7
  printf 'Who are you?\\nAnd where?\\n' | specache chat --model model.gguf > answers.txt
`;

/** Runs the command. */
export async function chat(args: readonly string[], streams: Streams): Promise<void> {
  const flags = readFlags(ACTION, args, chatFlags);
  if (flags.help) {
    streams.stdout.write(chatHelp);
    return;
  }
  const asked = parse(generateOptions, generateOptionsOf(flags), ACTION);
  const options = parse(engineOptions, engineOptionsOf(flags), ACTION);
  const system = flags.system === undefined ? null : String(flags.system);
  const { tokensMax } = checkedModel(options, system);
  const { mode, guessesMax, far, device } = options;
  settleRequest(asked, settle({ mode, guessesMax, far, device }, tokensMax, null, ACTION), ACTION);
  await ensureLibrary(streams.stderr, options.device);
  const colours = coloursFor(streams.stderr);
  const say = (sentence: string) => void streams.stderr.write(`${colours.faint(sentence)}\n`);
  await using talk = await Talk.open(
    { contextTokens: Math.min(CONTEXT, tokensMax), ...options, notice: say },
    { maxTokens: ANSWER, ...asked },
    system,
  );
  const history = flags["no-history"] || !isInteractive(streams)
    ? null
    : new History(historyPath(), say);
  using console = new Console(streams, history);
  const chat = new Chat({ talk, console, colours, streams, verbose: flags.verbose === true });
  await chat.run();
}

// What would fail at the first turn fails before the model is opened.
function checkedModel(options: EngineOptions, system: string | null): { tokensMax: number } {
  const host = promptHost(options);
  tokenizerOf(host, "there is no text to talk in");
  const first: Message[] = system === null ? [] : [{ role: "system", content: system }];
  conversationText(host, [...first, { role: "user", content: "Hello" }], true);
  return host.description;
}

interface ChatParts {
  readonly talk: Talk;
  readonly console: Console;
  readonly colours: Colours;
  readonly streams: Streams;
  readonly verbose: boolean;
}

class Chat {
  readonly #parts: ChatParts;
  readonly #turns = new TurnReader();
  readonly #asked = { turns: 0, commands: 0 };
  readonly #failed = { turns: 0, commands: 0 };
  #fault: unknown = null; // the first

  constructor(parts: ChatParts) {
    this.#parts = parts;
  }

  // Reads turns until the input ends or the person does.
  async run(): Promise<void> {
    const { console, colours } = this.#parts;
    if (console.interactive) this.#say("/help lists what there is; Ctrl-D ends");
    let interrupted = false; // by the last thing that was heard
    while (true) {
      const heard = await console.next(colours.strong(this.#turns.open ? ". " : "> "));
      if (heard.kind === "interrupt") {
        const empty = heard.empty && !this.#turns.open;
        if (interrupted && empty) break;
        if (empty) this.#say("Ctrl-C again ends the chat, as Ctrl-D does");
        this.#turns.clear();
        interrupted = empty;
        continue;
      }
      interrupted = false;
      const ended = heard.kind === "end";
      const turn = ended ? this.#turns.end() : this.#turns.push(heard.text);
      if (turn !== null && await this.#attempt(turn)) break;
      if (!ended) continue;
      if (console.interactive) this.#say("");
      break;
    }
    this.#judge();
  }

  // One turn; an error is said and the chat goes on. Answers whether the chat ends.
  async #attempt(turn: Turn): Promise<boolean> {
    if (turn.text.trim() === "") return false;
    const kind = turn.command ? "commands" : "turns";
    this.#asked[kind]++;
    try {
      if (!turn.command) {
        await this.#answer(turn.text);
        return false;
      }
      const { talk } = this.#parts;
      const host = { talk, say: (text: string) => this.#say(text), watch: () => this.#watch() };
      return await runSlash(turn.text, host);
    } catch (error) {
      this.#failed[kind]++;
      this.#fault ??= error;
      this.#tell(error);
      return false;
    }
  }

  async #answer(content: string): Promise<void> {
    const { talk, streams: { stdout }, verbose } = this.#parts;
    using watch = this.#watch();
    let last = "\n";
    const hear = (text: string) => {
      if (text === "") return;
      stdout.write(stdout.isTTY ? harmless(text) : text);
      last = text;
    };
    try {
      const answer = await talk.ask(content, watch, hear);
      if (!last.endsWith("\n") || answer.result.text === "") stdout.write("\n");
      last = "\n";
      const { stop, tokens } = answer.result;
      if (stop === "cancelled" && tokens.length === 0) this.#say("stopped: the turn is forgotten");
      else this.#say(statusLine(answer, verbose));
      const { audit } = answer.result.cache;
      if (audit?.warning) this.#say("The lost mass is above --audit-warn: /stats tells it");
    } finally {
      if (!last.endsWith("\n")) stdout.write("\n"); // an error came within the answer
    }
  }

  #watch(): Watch & Disposable {
    const work = this.#parts.console.work();
    const bar = progressBar("prefill", this.#parts.streams.stderr);
    return {
      signal: work.signal,
      progress: (done, of) => of > CHUNK && bar(done, of),
      [Symbol.dispose]: () => work[Symbol.dispose](),
    };
  }

  #say(text: string): void {
    const { colours, streams: { stderr } } = this.#parts;
    stderr.write(text === "" ? "\n" : `${colours.faint(text.trimEnd())}\n`);
  }

  #tell(error: unknown): void {
    const { colours, streams: { stderr }, verbose } = this.#parts;
    stderr.write(`${colours.fault(sentenceOf(error, chatFlags, verbose))}\n`);
  }

  // A person saw what failed; whoever gave a pipe reads the status.
  #judge(): void {
    const fault = this.#fault;
    if (this.#parts.console.interactive || fault === null) return;
    if (!(fault instanceof SpecacheError)) throw fault;
    const counts = (["turns", "commands"] as const)
      .filter((kind) => this.#failed[kind] > 0)
      .map((kind) => `${this.#failed[kind]} of ${this.#asked[kind]} ${kind}`);
    const sentence = `Cannot ${ACTION}: ${counts.join(" and ")} failed`;
    throw new SpecacheError(fault.code, sentence, { cause: fault });
  }
}
