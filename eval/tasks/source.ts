// source.ts - the tasks of a model, and what their documents are made of.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SpecacheError } from "../../engine/errors.ts";
import { checkoutPath } from "../checkout.ts";
import type { ModelDescription } from "../../engine/model/describe.ts";
import { loadTokenizer } from "../../engine/model/tokenizer.ts";
import { needleSource } from "../needle.ts";
import { longText } from "../text.ts";
import { question, summary, turns } from "./chat.ts";
import type { Task, TaskSource } from "./document.ts";
import { multikey, multiquery, multivalue, needle } from "./facts.ts";
import { count, tracking } from "./lists.ts";
import { code, text } from "./plain.ts";
import { trained } from "./trained.ts";

/** Tasks by name, in the order in which they are shown. */
export const taskNames = [
  ...["needle", "multikey", "multivalue", "multiquery", "tracking", "count", "question", "chat"],
  ...["text", "code", "summary"],
] as const;

/** What a model is asked: its tasks, and the source of their documents. */
export interface TaskKit {
  readonly source: TaskSource;
  /** Text of ids, for answers. */
  decode(ids: readonly number[]): string;
  readonly tasks: ReadonlyMap<string, Task>;
}

const chatTasks = {
  ...{ needle, multikey, multivalue, multiquery, tracking, count },
  ...{ question, chat: turns, text, code, summary },
};

/**
 * The tasks that a model is asked: those of a chat model (ChatML), or those that models/needle was
 * trained for.
 *
 * @throws {SpecacheError} file: the model has no tokenizer
 */
export async function taskKit(model: string, description: ModelDescription): Promise<TaskKit> {
  const tokenizer = loadTokenizer(model, description);
  if (tokenizer === null) {
    throw new SpecacheError("file", `Cannot make documents: model ${model} has no tokenizer`, {
      details: { model },
    });
  }
  const codec = {
    encode: (text: string) => tokenizer.encode(text, false),
    decode: (ids: readonly number[]) => tokenizer.decode(ids),
  };
  const prose = await longText();
  const chats = codec.encode("<|im_start|>").length === 1;
  const bos = description.addBos || !chats ? description.bos : null;
  const source = { codec, text: codec.encode(prose), code: codec.encode(sourceCode()), bos };
  if (chats) return { source, decode: codec.decode, tasks: new Map(Object.entries(chatTasks)) };
  const { words } = needleSource(codec, prose, bos ?? 0);
  const tasks = {
    needle: trained("needle", words),
    multikey: trained("multikey", words),
    ...{ text, code },
  };
  return { source, decode: codec.decode, tasks: new Map(Object.entries(tasks)) };
}

const folders = ["engine", "engine/model", "native", "native/cpu", "native/store"];

/** The project's own sources, file after file: about 300,000 characters. */
function sourceCode(): string {
  return folders.flatMap((name) => {
    const folder = checkoutPath(name, "read the project's sources");
    return readdirSync(folder).filter((name) => /\.(ts|cpp|h)$/.test(name)).sort()
      .filter((name) => name !== "profile_text.ts")
      .map((name) => readFileSync(join(folder, name), "utf8"));
  }).join("\n");
}
