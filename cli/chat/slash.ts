// slash.ts - what a person can ask of a chat itself: /name, most with a value.
import { existsSync, writeFileSync } from "node:fs";
import type { Mode } from "../../engine/config.ts";
import { type GenerateOptions, generateOptions } from "../../engine/config_generate.ts";
import type { Message } from "../../engine/conversation.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { parse } from "../../engine/parse.ts";
import { refusedAs } from "../../engine/system.ts";
import { number } from "../options.ts";
import { statsTable } from "./status.ts";
import type { Talk, Watch } from "./talk.ts";

/** What a command works on. */
export interface SlashHost {
  readonly talk: Talk;
  /** Says a sentence, or lines that end themselves. */
  say(text: string): void;
  watch(): Watch & Disposable;
}

interface Slash {
  /** What stands behind its name; "": nothing may. */
  readonly value: string;
  readonly help: string;
  /** Answers true where the chat ends. */
  run(host: SlashHost, value: string): boolean | void | Promise<boolean | void>;
}

const modes: readonly string[] = ["full", "paper", "specache"];

// Numbers of a request: shown without a value, set with one.
function setting(name: string, key: keyof GenerateOptions, help: string): Slash {
  return {
    value: "[NUMBER]",
    help,
    run({ talk, say }, value) {
      if (value !== "") {
        const amount = number({ [name]: value }, name);
        talk.request = parse(generateOptions, { ...talk.request, [key]: amount }, `set /${name}`);
      }
      say(`${name} ${talk.request[key] ?? "as it is by default"}`);
    },
  };
}

const slashes: Readonly<Record<string, Slash>> = {
  mode: {
    value: "[full|paper|specache]",
    help: "opens the model again in a mode and reads the conversation",
    run: setMode,
  },
  system: {
    value: "[TEXT|none]",
    help: "what comes before all turns; they are read again after it",
    run: setSystem,
  },
  temperature: setting("temperature", "temperature", "0 takes the likeliest token"),
  "top-k": setting("top-k", "topK", "draws from the N likeliest tokens"),
  "top-p": setting("top-p", "topP", "draws from the fewest tokens of this probability"),
  "min-p": setting("min-p", "minP", "draws from tokens this probable beside the likeliest"),
  seed: setting("seed", "seed", "of the draws"),
  "max-tokens": setting("max-tokens", "maxTokens", "of an answer"),
  undo: {
    value: "",
    help: "forgets the last turn and its answer",
    run({ talk, say }) {
      say(talk.undo() ? "The last turn is forgotten" : "There is no turn to forget");
    },
  },
  reset: {
    value: "",
    help: "forgets all turns",
    run({ talk, say }) {
      talk.reset();
      say("All turns are forgotten");
    },
  },
  stats: {
    value: "",
    help: "what is held, fetched and guessed",
    async run({ talk, say }) {
      const { cache, engine } = await talk.stats();
      say(statsTable(cache, engine));
    },
  },
  save: {
    value: "FILE",
    help: "writes the conversation to a new file; .json: as messages",
    run: save,
  },
  help: { value: "", help: "this list", run: ({ say }) => say(slashHelp) },
  quit: { value: "", help: "ends, as Ctrl-D does; /exit too", run: () => true },
};

/** The list of all commands. */
export const slashHelp: string = Object.entries(slashes)
  .map(([name, { value, help }]) => `  ${`/${name} ${value}`.padEnd(28)}${help}\n`)
  .join("") +
  '  A line that ends with \\ goes on; """ begins and ends a text of several lines.\n' +
  "  Ctrl-C stops an answer; twice on an empty line, it ends the chat.\n";

/**
 * Runs a line that begins with a slash; answers whether the chat ends.
 *
 * @throws {SpecacheError} argument, and what the command itself meets
 */
export async function runSlash(line: string, host: SlashHost): Promise<boolean> {
  const [, given, value] = line.match(/^\/(\S*)\s*([\s\S]*?)\s*$/)!;
  const name = given === "exit" ? "quit" : given;
  if (!Object.hasOwn(slashes, name)) {
    refuse(`Cannot run /${given}: it is none of the commands, which /help lists`);
  }
  const slash = slashes[name];
  if (slash.value === "" && value !== "") refuse(`Cannot run /${name}: it takes no ${value}`);
  if (slash.value !== "" && !slash.value.startsWith("[") && value === "") {
    refuse(`Cannot run /${name}: it wants ${slash.value}`);
  }
  return await slash.run(host, value) === true;
}

async function setMode({ talk, say, watch }: SlashHost, mode: string): Promise<void> {
  if (mode === "") return say(`mode ${talk.mode}`);
  if (!modes.includes(mode)) refuse(`Cannot run /mode: ${mode} is none of ${modes.join(", ")}`);
  using work = watch();
  say(`Opening the model again in mode ${mode}`);
  const started = performance.now();
  const tokens = await talk.reopen(mode as Mode, work);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  say(`Mode ${mode}: ${tokens} tokens of the conversation read again, ${seconds} s`);
}

function setSystem({ talk, say }: SlashHost, text: string): void {
  if (text !== "") talk.system = text === "none" ? null : text;
  say(talk.system === null ? "There is no system text" : `system: ${talk.system}`);
}

function save({ talk, say }: SlashHost, path: string): void {
  const { messages } = talk;
  const text = path.endsWith(".json") ? `${JSON.stringify(messages, null, 2)}\n` : plain(messages);
  try {
    writeFileSync(path, text, { flag: "wx" }); // what is there already stays
  } catch (cause) {
    const why = existsSync(path) ? "exists; name a new one" : refusedAs(cause, "written");
    throw new SpecacheError("file", `Cannot save: ${path} ${why}`, { cause });
  }
  say(`${messages.length} messages are in ${path}`);
}

function plain(messages: readonly Message[]): string {
  return messages.map(({ role, content }) => `${role}:\n${content.trim()}\n`).join("\n");
}

function refuse(sentence: string): never {
  throw new SpecacheError("argument", sentence);
}
