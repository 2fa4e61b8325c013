// completions_answer.ts - what is generated, as clients of /v1/completions read it.
import type { GenerateResult, Piece } from "../engine/generation.ts";
import type { Choice, Part } from "./choice.ts";
import type { Group } from "./choices.ts";
import type { Ended, Writer } from "./choices_answer.ts";
import { logprobsOf } from "./logprobs.ts";
import { secondsNow } from "./models.ts";
import type { AnswerParts } from "./parts.ts";
import { usageOf } from "./usage.ts";

/** Writes the answers to one request. */
export class CompletionWriter implements Writer {
  readonly #from: Pick<AnswerParts, "engine" | "name">;
  readonly #groups: readonly Group[];
  readonly #logprobs: number | null;
  readonly #id = `cmpl-${crypto.randomUUID()}`;
  readonly #created = secondsNow();
  readonly #lengths = new Map<number, number>(); // by choice: code units of the text that was told

  /** Nothing is written yet; `logprobs`: alternatives of each token, null for no probabilities. */
  constructor(
    from: Pick<AnswerParts, "engine" | "name">,
    groups: readonly Group[],
    logprobs: number | null,
  ) {
    this.#from = from;
    this.#groups = groups;
    this.#logprobs = logprobs;
  }

  /** The whole answer. */
  whole(ended: readonly Ended[]): object {
    return {
      ...this.#head(),
      choices: ended.map(({ choice, parts, result }, index) => ({
        index,
        text: parts.map(({ text }) => text).join(""),
        logprobs: this.#told(index, parts.flatMap(({ pieces }) => pieces)),
        finish_reason: choice.reason(result.stop),
      })),
      usage: this.#usage(ended.map(({ result }) => result)),
    };
  }

  /** A chunk of an answer. */
  part(index: number, { text, pieces }: Part): object {
    const choice = { index, text, logprobs: this.#told(index, pieces), finish_reason: null };
    return { ...this.#head(), choices: [choice] };
  }

  /** The chunk that tells why an answer ended. */
  end(index: number, choice: Choice, { stop }: GenerateResult): object {
    const finish_reason = choice.reason(stop);
    return { ...this.#head(), choices: [{ index, text: "", logprobs: null, finish_reason }] };
  }

  /** The last chunk, where the request asked for the usage. */
  usage(results: readonly GenerateResult[]): object {
    return { ...this.#head(), choices: [], usage: this.#usage(results) };
  }

  #head(): object {
    return {
      id: this.#id,
      object: "text_completion",
      created: this.#created,
      model: this.#from.name,
    };
  }

  #usage(results: readonly GenerateResult[]): object {
    let at = 0;
    return usageOf(this.#groups.map((group) => ({
      results: results.slice(at, at += group.length),
      seed: group[0].seed,
    })));
  }

  #told(index: number, pieces: readonly Piece[]): object | null {
    if (this.#logprobs === null) return null;
    const tokens = logprobsOf(this.#from.engine, pieces, this.#logprobs);
    let length = this.#lengths.get(index) ?? 0;
    const offsets = pieces.map(({ text }) => (length += text.length) - text.length);
    this.#lengths.set(index, length);
    return {
      tokens: tokens.map(({ token }) => token),
      token_logprobs: tokens.map(({ logprob }) => logprob),
      top_logprobs: tokens.map(({ top_logprobs }) =>
        Object.fromEntries(top_logprobs.map(({ token, logprob }) => [token, logprob]))
      ),
      text_offset: offsets,
    };
  }
}
