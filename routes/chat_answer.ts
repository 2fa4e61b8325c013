// chat_answer.ts - what is generated, as OpenAI's clients read it: one object, or chunks.
import type { GenerateResult, Piece } from "../engine/generation.ts";
import type { Choice, Part, ToldCall } from "./choice.ts";
import type { Ended, Writer } from "./choices_answer.ts";
import { logprobsOf } from "./logprobs.ts";
import { secondsNow } from "./models.ts";
import type { AnswerParts } from "./parts.ts";
import { usageOf } from "./usage.ts";

/** What a request asked of its answer. */
export interface Asked {
  readonly seed: number;
  /** Alternatives of each token; null: no probabilities at all. */
  readonly topLogprobs: number | null;
}

/** Writes the answers to one request. */
export class ChatWriter implements Writer {
  readonly #from: Pick<AnswerParts, "engine" | "name">;
  readonly #asked: Asked;
  readonly #id = `chatcmpl-${crypto.randomUUID()}`;
  readonly #created = secondsNow();
  readonly #calls = new Map<number, number>(); // by choice: calls that were told

  /** Nothing is written yet. */
  constructor(from: Pick<AnswerParts, "engine" | "name">, asked: Asked) {
    this.#from = from;
    this.#asked = asked;
  }

  /** The whole answer. */
  whole(ended: readonly Ended[]): object {
    return {
      ...this.#head("chat.completion"),
      choices: ended.map(({ choice, parts, result }, index) => ({
        index,
        message: messageOf(parts),
        logprobs: this.#logprobs(parts.flatMap(({ pieces }) => pieces)),
        finish_reason: choice.reason(result.stop),
      })),
      usage: this.#usage(ended.map(({ result }) => result)),
    };
  }

  /** The chunk before the first token. */
  begin(index: number): object {
    return this.#chunk(index, { role: "assistant", content: "", refusal: null }, null, null);
  }

  /** A chunk of an answer. */
  part(index: number, { text, calls, pieces }: Part): object {
    const told = this.#calls.get(index) ?? 0;
    this.#calls.set(index, told + calls.length);
    const delta = {
      ...text === "" && calls.length > 0 ? {} : { content: text },
      ...calls.length === 0 ? {} : {
        tool_calls: calls.map((call, at) => ({ index: told + at, ...callOf(call) })),
      },
    };
    return this.#chunk(index, delta, this.#logprobs(pieces), null);
  }

  /** The chunk that tells why an answer ended. */
  end(index: number, choice: Choice, { stop }: GenerateResult): object {
    return this.#chunk(index, {}, null, choice.reason(stop));
  }

  /** The last chunk, where the request asked for the usage. */
  usage(results: readonly GenerateResult[]): object {
    return { ...this.#head("chat.completion.chunk"), choices: [], usage: this.#usage(results) };
  }

  #head(object: string): object {
    return { id: this.#id, object, created: this.#created, model: this.#from.name };
  }

  #chunk(index: number, delta: object, logprobs: object | null, reason: string | null): object {
    return {
      ...this.#head("chat.completion.chunk"),
      choices: [{ index, delta, logprobs, finish_reason: reason }],
    };
  }

  #usage(results: readonly GenerateResult[]): object {
    return usageOf([{ results, seed: this.#asked.seed }]);
  }

  #logprobs(pieces: readonly Piece[]): object | null {
    const { topLogprobs } = this.#asked;
    if (topLogprobs === null) return null;
    return { content: logprobsOf(this.#from.engine, pieces, topLogprobs), refusal: null };
  }
}

function messageOf(parts: readonly Part[]): object {
  const text = parts.map((part) => part.text).join("");
  const calls = parts.flatMap((part) => part.calls);
  return {
    role: "assistant",
    content: text === "" && calls.length > 0 ? null : text,
    refusal: null,
    ...calls.length === 0 ? {} : { tool_calls: calls.map(callOf) },
  };
}

function callOf({ id, name, arguments: given }: ToldCall): object {
  return { id, type: "function", function: { name, arguments: given } };
}
