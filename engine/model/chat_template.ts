// chat_template.ts - messages to the text that a model was trained on, by the Jinja template that
// comes with it, with the variables that transformers gives (apply_chat_template).
import { Template } from "@huggingface/jinja";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type CallStyle, callStyleOf } from "../constrain/calls.ts";
import type { Message, Tool } from "../conversation.ts";
import { SpecacheError } from "../errors.ts";
import { isFolder, type ModelDescription } from "./describe.ts";
import { broken } from "./faults.ts";
import { type GgufValue, readGguf } from "./gguf.ts";
import { readJson, readText } from "./json.ts";

/** A model's template and its special tokens. */
export interface ChatSource {
  /** Jinja text. */
  readonly template: string;
  /** Of a conversation with tools, where the model has another one for these. */
  readonly toolTemplate?: string;
  /** Variables with the text of special tokens: `bos_token`, `eos_token` and the like. */
  readonly tokens: Readonly<Record<string, string>>;
}

const names = ["bos_token", "eos_token", "unk_token", "pad_token"] as const;

/**
 * Reads a model's template: `own` if given, else chat_template.jinja, tokenizer_config.json, or
 * GGUF metadata. null: it has none.
 */
export function readChatSource(
  path: string,
  description: ModelDescription,
  own: string | undefined,
): ChatSource | null {
  const source = isFolder(path) ? sourceOfFolder(path, description) : sourceOfGguf(path);
  if (own !== undefined) return { tokens: source.tokens, template: own };
  const { template } = source;
  return template === null ? null : { ...source, template };
}

/** What templates say of a conversation. */
export class ChatTemplate {
  /** How the model writes calls of tools; null: in no way that is known. */
  readonly callStyle: CallStyle | null;
  readonly #template: Template;
  /** null: the template says nothing of tools. */
  readonly #toolTemplate: Template | null;
  readonly #tokens: ChatSource["tokens"];
  readonly #model: string;

  /**
   * Reads a template.
   *
   * @throws {SpecacheError} unsupported: it is not understood
   */
  constructor({ template, toolTemplate, tokens }: ChatSource, model: string) {
    this.#tokens = tokens;
    this.#model = model;
    this.callStyle = callStyleOf(toolTemplate ?? template);
    this.#template = understood(template, model);
    if (toolTemplate !== undefined) this.#toolTemplate = understood(toolTemplate, model);
    else this.#toolTemplate = /\btools\b/.test(template) ? this.#template : null;
  }

  /**
   * The text of a conversation. Where `answers`, the beginning of the assistant's next turn too.
   *
   * @throws {SpecacheError} argument: the template refuses these messages; unsupported: it knows no
   * tools, and there are some
   */
  render(messages: readonly Message[], answers: boolean, tools?: readonly Tool[]): string {
    const template = tools === undefined ? this.#template : this.#toolTemplate;
    if (template === null) {
      throw new SpecacheError(
        "unsupported",
        `Cannot write a conversation: the template of model ${this.#model} knows no tools`,
        { details: { model: this.#model, name: "tools" } },
      );
    }
    try {
      return template.render({
        ...this.#tokens,
        messages,
        add_generation_prompt: answers,
        // Templates ask whether these are none, which what is undefined is not.
        tools: tools ?? null,
        documents: null,
      });
    } catch (cause) {
      const why = reasonOf(cause);
      throw new SpecacheError(
        "argument",
        `Cannot write a conversation: the template of model ${this.#model} refuses it: ${why}`,
        { cause, details: { model: this.#model } },
      );
    }
  }
}

function understood(template: string, model: string): Template {
  try {
    return new Template(template);
  } catch (cause) {
    const why = reasonOf(cause);
    throw new SpecacheError(
      "unsupported",
      `Cannot write a conversation: the template of model ${model} is not understood (${why})`,
      { cause, details: { model } },
    );
  }
}

const REASON_MAX = 200; // characters of a reason that a template gives

function reasonOf(cause: unknown): string {
  return (cause as Error).message.replaceAll(/\s+/g, " ").slice(0, REASON_MAX);
}

interface Found extends Omit<ChatSource, "template"> {
  readonly template: string | null;
}

function sourceOfFolder(folder: string, { bos, eos }: ModelDescription): Found {
  const path = join(folder, "tokenizer_config.json");
  const config = existsSync(path) ? readJson(path) : {};
  const file = join(folder, "chat_template.jinja");
  const templates = existsSync(file)
    ? { template: readText(file) }
    : templatesOf(path, config.chat_template);
  const added = addedTokens(folder);
  const tokens: Record<string, string> = {};
  if (bos !== null && added.has(bos)) tokens.bos_token = added.get(bos)!;
  if (eos.length > 0 && added.has(eos[0])) tokens.eos_token = added.get(eos[0])!;
  for (const name of names) {
    const value = config[name];
    // An added token as an object has its text in `content`.
    const text = typeof value === "object"
      ? (value as { content?: unknown } | null)?.content
      : value;
    if (typeof text === "string") tokens[name] = text;
  }
  return { ...templates, tokens };
}

// A text, or a list of them by name: one for tools beside the `default` one.
function templatesOf(path: string, value: unknown): Omit<Found, "tokens"> {
  if (value === undefined || value === null) return { template: null };
  if (typeof value === "string") return { template: value };
  const list = Array.isArray(value) ? value : [];
  const named = (name: string) => list.find((item) => item?.name === name)?.template;
  const [template, toolTemplate] = [named("default"), named("tool_use")];
  if (typeof template === "string") {
    return { template, ...typeof toolTemplate === "string" ? { toolTemplate } : {} };
  }
  return broken(path, "chat_template is neither a text nor a list with one named default");
}

function addedTokens(folder: string): Map<number, string> {
  const path = join(folder, "tokenizer.json");
  const list = existsSync(path) ? readJson(path).added_tokens : [];
  const tokens = Array.isArray(list) ? list : [];
  return new Map(tokens.map((token) => [Number(token?.id), String(token?.content)]));
}

const ggufIds = {
  bos_token: "tokenizer.ggml.bos_token_id",
  eos_token: "tokenizer.ggml.eos_token_id",
  unk_token: "tokenizer.ggml.unknown_token_id",
  pad_token: "tokenizer.ggml.padding_token_id",
} as const;

function sourceOfGguf(path: string): Found {
  const { metadata } = readGguf(path);
  const template = metadata.get("tokenizer.chat_template");
  const toolTemplate = metadata.get("tokenizer.chat_template.tool_use");
  const list = metadata.get("tokenizer.ggml.tokens");
  const texts: readonly GgufValue[] = Array.isArray(list) ? list : [];
  const tokens: Record<string, string> = {};
  for (const name of names) {
    const text = texts[Number(metadata.get(ggufIds[name]) ?? NaN)];
    if (typeof text === "string") tokens[name] = text;
  }
  return {
    template: typeof template === "string" ? template : null,
    ...typeof toolTemplate === "string" ? { toolTemplate } : {},
    tokens,
  };
}
