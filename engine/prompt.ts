// prompt.ts - what a request goes on from, as token ids: prompt, messages or ids.
import type { EngineOptions } from "./config.ts";
import type { PromptOptions } from "./config_generate.ts";
import type { Message, Tool } from "./conversation.ts";
import { SpecacheError } from "./errors.ts";
import { ChatTemplate, readChatSource } from "./model/chat_template.ts";
import { describeModel, type ModelDescription, type ModelShape } from "./model/describe.ts";
import { loadTokenizer, type Tokenizer } from "./model/tokenizer.ts";

/** What turns text into ids. */
export interface PromptHost {
  readonly description: Pick<ModelShape, "name" | "vocabulary">;
  /** null: the model has none, or one that was `refused`. */
  readonly tokenizer: { readonly load: Tokenizer | null; readonly refused: SpecacheError | null };
  /** The chat template; null: the model has none. */
  chat(): ChatTemplate | null;
}

/** What a model's own files give. */
export function promptHost(
  { model, chatTemplate }: Pick<EngineOptions, "model" | "chatTemplate">,
  description: ModelDescription = describeModel(model),
): PromptHost & { readonly description: ModelDescription } {
  let template: ChatTemplate | null | undefined;
  return {
    description,
    tokenizer: tokenizerIn(model, description),
    // Read when a conversation first needs it: in GGUF files it stands behind the vocabulary.
    chat() {
      if (template !== undefined) return template;
      const source = readChatSource(model, description, chatTemplate);
      return template = source && new ChatTemplate(source, description.name);
    },
  };
}

/** A text and ids that stand for it. */
export interface Written {
  readonly text: string;
  readonly ids: readonly number[];
}

/** Ids of a request. */
export interface Prompt {
  readonly ids: readonly number[];
  /** The whole text, where the ids are that of it; null: they go on from what is held. */
  readonly whole: string | null;
}

/** What a text was before. */
export interface Before {
  /** Whether it has a first token. */
  readonly begun: boolean;
  /** The last conversation, and the answer's own ids, which need not be what text encodes to. */
  readonly conversation: Written | null;
}

/**
 * The ids of a request. A text that has begun gets no second bos, and a conversation that has
 * grown keeps its ids. Where `answers`, the assistant's turn comes next.
 *
 * @throws {SpecacheError} argument, unsupported
 */
export function promptOf(
  host: PromptHost,
  { prompt, ids, messages, tools }: PromptOptions,
  before: Before = { begun: false, conversation: null },
  answers = true,
): Prompt {
  const given = Object.entries({ prompt, messages, ids }).filter(([, value]) =>
    value !== undefined
  );
  if (given.length > 1) {
    const names = `${given[0][0]} and ${given[1][0]}`;
    throw new SpecacheError("argument", `Cannot generate: ${names} are both given`);
  }
  if (tools !== undefined && messages === undefined) {
    throw new SpecacheError("argument", "Cannot generate: tools are given without messages", {
      details: { name: "tools" },
    });
  }
  if (messages !== undefined) {
    const tokenizer = tokenizerOf(host, "ids must be given");
    const text = conversationText(host, messages, answers, tools);
    return { ids: checked(host, conversationIds(tokenizer, text, before)), whole: text };
  }
  if (prompt === undefined) return { ids: checked(host, ids ?? []), whole: null };
  const encoded = tokenizerOf(host, "ids must be given").encode(prompt, !before.begun);
  return { ids: checked(host, encoded), whole: null };
}

/** The tokenizer, where the model has one; else, says the error, `instead`. */
export function tokenizerOf({ tokenizer, description }: PromptHost, instead: string): Tokenizer {
  if (tokenizer.load !== null) return tokenizer.load;
  if (tokenizer.refused !== null) throw tokenizer.refused;
  throw new SpecacheError(
    "unsupported",
    `Cannot generate: model ${description.name} has no tokenizer, so ${instead}`,
  );
}

/**
 * The text of a conversation.
 *
 * @throws {SpecacheError} unsupported: the model has no template, or one that knows no tools;
 * argument: it refuses them
 */
export function conversationText(
  { chat, description }: PromptHost,
  messages: readonly Message[],
  answers: boolean,
  tools?: readonly Tool[],
): string {
  const template = chat();
  if (template !== null) return template.render(messages, answers, tools);
  throw new SpecacheError(
    "unsupported",
    `Cannot write a conversation: model ${description.name} has no chat template, so ` +
      "chatTemplate or a prompt must be given",
  );
}

// A template writes bos itself, where its model wants one.
function conversationIds(
  tokenizer: Tokenizer,
  text: string,
  { conversation }: Before,
): readonly number[] {
  if (conversation === null || !text.startsWith(conversation.text)) {
    return tokenizer.encode(text, false, false);
  }
  const rest = tokenizer.encode(text.slice(conversation.text.length), false);
  return [...conversation.ids, ...rest];
}

function checked({ description }: PromptHost, ids: readonly number[]): readonly number[] {
  const bad = ids.find((id) => id >= description.vocabulary);
  if (bad === undefined) return ids;
  throw new SpecacheError(
    "argument",
    `Cannot generate: id ${bad} is not below the vocabulary's ${description.vocabulary}`,
    { details: { id: bad, vocabulary: description.vocabulary } },
  );
}

// A vocabulary that is refused only matters to who gives text: ids work without.
function tokenizerIn(path: string, description: ModelDescription): PromptHost["tokenizer"] {
  try {
    return { load: loadTokenizer(path, description), refused: null };
  } catch (error) {
    if (error instanceof SpecacheError && error.code === "unsupported") {
      return { load: null, refused: error };
    }
    throw error;
  }
}
