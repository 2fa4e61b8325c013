// chat_answer.ts - what is generated, as OpenAI's clients read it: one object, or chunks.
import type { GenerateResult, Piece } from "../engine/generation.ts";
import type { Stop } from "../engine/decode.ts";
import type { ServedEngine } from "./engine.ts";
import { secondsNow } from "./models.ts";

/** A token and the natural logarithm of its probability. */
interface TokenAnswer {
  readonly token: string;
  readonly logprob: number;
  /** UTF-8 of the token; null where it is part of a character. */
  readonly bytes: readonly number[] | null;
}

interface LogprobsAnswer {
  readonly content: readonly (TokenAnswer & { readonly top_logprobs: readonly TokenAnswer[] })[];
  readonly refusal: null;
}

/** What a request asked of its answer. */
export interface Asked {
  readonly seed: number;
  /** Alternatives of each token; null: no probabilities at all. */
  readonly topLogprobs: number | null;
}

const reasons: Readonly<Record<Stop, "stop" | "length">> = {
  eos: "stop",
  stop: "stop",
  length: "length",
  cancelled: "length", // cut short; who asked for it has left, or the engine is closing
};

/** Who answers. */
export interface Answering {
  readonly engine: ServedEngine;
  /** What requests call the model. */
  readonly name: string;
}

/** Writes the answers to one request. */
export class ChatWriter {
  readonly #from: Answering;
  readonly #asked: Asked;
  readonly #id = `chatcmpl-${crypto.randomUUID()}`;
  readonly #created = secondsNow();

  /** Nothing is written yet. */
  constructor(from: Answering, asked: Asked) {
    this.#from = from;
    this.#asked = asked;
  }

  /** The whole answer; `pieces` are its tokens. */
  whole(result: GenerateResult, pieces: readonly Piece[]): object {
    return {
      ...this.#head("chat.completion"),
      choices: [{
        index: 0,
        message: { role: "assistant", content: result.text, refusal: null },
        logprobs: this.#logprobs(pieces),
        finish_reason: reasons[result.stop],
      }],
      usage: this.#usage(result),
    };
  }

  /** The chunk before the first token. */
  begin(): object {
    return this.#chunk({ role: "assistant", content: "", refusal: null }, null, null);
  }

  /** A chunk of text; `pieces` are the tokens that it tells of. */
  text(content: string, pieces: readonly Piece[]): object {
    return this.#chunk({ content }, this.#logprobs(pieces), null);
  }

  /** The chunk that tells why it ended. */
  end({ stop }: GenerateResult): object {
    return this.#chunk({}, null, reasons[stop]);
  }

  /** The last chunk, where the request asked for the usage. */
  usage(result: GenerateResult): object {
    return { ...this.#head("chat.completion.chunk"), choices: [], usage: this.#usage(result) };
  }

  #head(object: string): object {
    return { id: this.#id, object, created: this.#created, model: this.#from.name };
  }

  #chunk(delta: object, logprobs: LogprobsAnswer | null, reason: string | null): object {
    return {
      ...this.#head("chat.completion.chunk"),
      choices: [{ index: 0, delta, logprobs, finish_reason: reason }],
    };
  }

  #usage({ usage, cache, timing }: GenerateResult): object {
    const prompt = usage.promptTokens + usage.cachedTokens;
    return {
      prompt_tokens: prompt,
      completion_tokens: usage.completionTokens,
      total_tokens: prompt + usage.completionTokens,
      prompt_tokens_details: { cached_tokens: usage.cachedTokens },
      specache: {
        seed: this.#asked.seed,
        near_bytes: cache.nearBytes,
        full_bytes: cache.fullBytes,
        late_rows: cache.lateRows,
        prefill_ms: timing.prefillMs,
        tokens_per_second: timing.tokensPerSecond,
      },
    };
  }

  #logprobs(pieces: readonly Piece[]): LogprobsAnswer | null {
    const { topLogprobs } = this.#asked;
    if (topLogprobs === null) return null;
    return {
      content: pieces.map(({ id, logprob, logprobs }) => ({
        ...this.#token(id, logprob!),
        top_logprobs: logprobs!.slice(0, topLogprobs).map(([id, each]) => this.#token(id, each)),
      })),
      refusal: null,
    };
  }

  #token(id: number, logprob: number): TokenAnswer {
    const token = this.#from.engine.tokenText(id);
    const bytes = token.includes("\uFFFD") ? null : [...new TextEncoder().encode(token)];
    return { token, logprob, bytes };
  }
}
