// responses_output.ts - the items of an answer of /v1/responses, as they come: a message for text,
// a function_call for each call, and the events that tell of them.
import type { Part, ToldCall } from "./choice.ts";

/** An event without its number. */
export type OutputEvent = { readonly type: string } & Readonly<Record<string, unknown>>;

interface Message {
  readonly id: string;
  readonly type: "message";
  readonly role: "assistant";
  status: "in_progress" | "completed" | "incomplete";
  content: TextContent[];
}

interface TextContent {
  readonly type: "output_text";
  readonly text: string;
  readonly annotations: readonly never[];
  readonly logprobs: readonly unknown[];
}

/** Items of one answer. */
export class Output {
  readonly #items: object[] = [];
  readonly #logprobs: (part: Part) => readonly unknown[];
  /** The message that text goes into; null: none is open. */
  #message: Message | null = null;
  #text = "";
  #told: unknown[] = []; // logprobs of #text

  /** `logprobs` of the tokens of a part, where they are asked for. */
  constructor(logprobs: (part: Part) => readonly unknown[]) {
    this.#logprobs = logprobs;
  }

  /** The items so far. */
  get items(): readonly object[] {
    return this.#items;
  }

  /** What a part of the answer brings. */
  *part(part: Part): Generator<OutputEvent> {
    // Tokens without a text of their own, as what ends a call, are told where a message is open.
    if (part.text !== "" || this.#message !== null && part.calls.length === 0) {
      yield* this.#say(part);
    }
    for (const call of part.calls) {
      yield* this.#close("completed");
      yield* this.#call(call);
    }
  }

  /** What the end brings: an answer that says nothing is an empty message. */
  *end(status: "completed" | "incomplete"): Generator<OutputEvent> {
    if (this.#items.length === 0) yield* this.#open();
    yield* this.#close(status);
  }

  *#say(part: Part): Generator<OutputEvent> {
    const message = this.#message ?? (yield* this.#open());
    const logprobs = this.#logprobs(part);
    this.#text += part.text;
    this.#told.push(...logprobs);
    yield {
      type: "response.output_text.delta",
      ...this.#place(message.id),
      content_index: 0,
      delta: part.text,
      logprobs,
    };
  }

  *#open(): Generator<OutputEvent, Message> {
    const id = `msg_${crypto.randomUUID()}`;
    const message: Message = {
      ...{ id, type: "message", role: "assistant", status: "in_progress", content: [] },
    };
    this.#message = message;
    this.#items.push(message);
    this.#text = "";
    this.#told = [];
    yield* this.#added({ ...message, content: [] });
    const part = textContent("", []);
    yield { type: "response.content_part.added", ...this.#place(id), content_index: 0, part };
    return message;
  }

  *#close(status: "completed" | "incomplete"): Generator<OutputEvent> {
    const message = this.#message;
    if (message === null) return;
    const part = textContent(this.#text, this.#told);
    message.status = status;
    message.content = [part];
    this.#message = null;
    const place = { ...this.#place(message.id), content_index: 0 };
    const { text, logprobs } = part;
    yield { type: "response.output_text.done", ...place, text, logprobs };
    yield { type: "response.content_part.done", ...place, part };
    yield* this.#done(message);
  }

  *#call({ id: call_id, name, arguments: given }: ToldCall): Generator<OutputEvent> {
    const id = `fc_${crypto.randomUUID()}`;
    const call = { id, type: "function_call", call_id, name };
    this.#items.push({ ...call, arguments: given, status: "completed" });
    yield* this.#added({ ...call, arguments: "", status: "in_progress" });
    const place = this.#place(id);
    yield { type: "response.function_call_arguments.delta", ...place, delta: given };
    yield { type: "response.function_call_arguments.done", ...place, name, arguments: given };
    yield* this.#done(this.#items.at(-1)!);
  }

  *#added(item: object): Generator<OutputEvent> {
    yield { type: "response.output_item.added", output_index: this.#items.length - 1, item };
  }

  *#done(item: object): Generator<OutputEvent> {
    yield { type: "response.output_item.done", output_index: this.#items.length - 1, item };
  }

  #place(item_id: string): object {
    return { item_id, output_index: this.#items.length - 1 };
  }
}

function textContent(text: string, logprobs: readonly unknown[]): TextContent {
  return { type: "output_text", text, annotations: [], logprobs };
}
