// generation.ts - one request as its caller sees it: an async iterable of pieces, and a result.
// Pieces are kept, so it can be iterated late, or not at all; the request runs from the start.

import type { Stop } from "./decode.ts";
import type { GenerateAnswer, RequestEvent } from "./messages.ts";
import type { Isa } from "./config.ts";
import type { TextStream } from "./model/tokenizer.ts";
import type { TokenLogprob } from "./sampling/logprobs.ts";
import type { CacheStats } from "./stats.ts";
import { StopFilter } from "./stop.ts";

/** One generated token. */
export interface Piece {
  /** Its id. */
  readonly id: number;
  /**
   * Text that it completes; may be empty, and is where the model has no tokenizer. A character that
   * the last token leaves unfinished is in the result's text alone.
   */
  readonly text: string;
  /** Logarithm of its probability at temperature 1, where the request asked for logprobs. */
  readonly logprob?: number;
  /** The most probable tokens at its place, where the request asked for them. */
  readonly logprobs?: readonly TokenLogprob[];
}

/** What a generation came to. */
export interface GenerateResult {
  /** All pieces' text; it ends before a stop string. */
  readonly text: string;
  /** Ids of the generated tokens, a stop string's too; eos is left out. */
  readonly tokens: readonly number[];
  /** `eos`: the model ended; `length`: maxTokens; `stop`, `cancelled`: by request. */
  readonly stop: Stop;
  /** Tokens of the prompt, generated, and held before the prompt; of these, those generated. */
  readonly usage: {
    readonly promptTokens: number;
    readonly completionTokens: number;
    readonly cachedTokens: number;
    readonly cachedGeneratedTokens: number;
  };
  /** Per token the logarithm of its own probability, where the request asked for logprobs. */
  readonly tokenLogprobs?: readonly number[];
  /** Per token its most probable alternatives, where the request asked for them. */
  readonly logprobs?: readonly (readonly TokenLogprob[])[];
  /** What the sequence holds and what was fetched for it. */
  readonly cache: CacheStats;
  /** Milliseconds, and tokens of decode steps. */
  readonly timing: {
    readonly loadMs: number;
    readonly prefillMs: number;
    readonly decodeMs: number;
    readonly tokensPerSecond: number;
    /** Above 1 where guesses were accepted. */
    readonly tokensPerStep: number;
  };
  /** What it ran on. */
  readonly device: {
    /** `cpu`, or the GPU's name. */
    readonly name: string;
    readonly isa: Isa | "cuda";
    readonly threads: number;
  };
  /** What ran. */
  readonly model: {
    readonly name: string;
    readonly layers: number;
    readonly kvHeads: number;
    readonly queryHeads: number;
    readonly headDim: number;
  };
}

/** What a generation needs of its session. */
export interface GenerationParts {
  readonly text: TextStream | null;
  readonly stops: readonly string[];
  readonly withLogprobs: boolean;
  readonly loadMs: number;
  readonly device: GenerateResult["device"];
  readonly model: GenerateResult["model"];
  /** Starts the request; an event that is answered with true brought its last token. */
  start(event: (event: RequestEvent) => boolean): Promise<GenerateAnswer>;
  /** Asks it to end at the next layer. */
  cancel(): void;
  /** Told of prefilled tokens. */
  progress?(prefilled: number, promptTokens: number): void;
}

/** A running or finished generation: iterate its pieces, or await its result, or both. */
export class Generation implements AsyncIterable<Piece, GenerateResult> {
  /**
   * Whether it runs, once its turn has come; false: it ended while it waited. Rejects as the result
   * does with what refused it.
   */
  readonly started: Promise<boolean>;
  /** Settles when the generation has ended. */
  readonly result: Promise<GenerateResult>;
  #parts: GenerationParts;
  #pieces: Piece[] = [];
  #stop: StopFilter<Piece>;
  #text = "";
  #prefilled = 0;
  #ended = false;
  #fault: { readonly error: unknown } | null = null;
  #changed = Promise.withResolvers<void>();
  #begun = Promise.withResolvers<boolean>();

  /** Engine.generate and Session.generate make generations. */
  constructor(parts: GenerationParts) {
    this.#parts = parts;
    this.#stop = new StopFilter(parts.stops);
    this.result = this.#run();
    this.result.catch(() => {}); // whoever iterates meets the error there
    this.started = this.#begun.promise;
    this.started.catch(() => {});
    this.result.then(() => this.#begun.resolve(false), (error) => this.#begun.reject(error));
  }

  /** Pieces as they come; the return value is the result. Leaving early cancels. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Piece, GenerateResult> {
    let at = 0;
    try {
      while (true) {
        while (at < this.#pieces.length) yield this.#pieces[at++];
        if (this.#ended) break;
        await this.#changed.promise;
      }
      return await this.result;
    } finally {
      if (!this.#ended) {
        this.#parts.cancel();
        await this.result.catch(() => {});
      }
    }
  }

  async #run(): Promise<GenerateResult> {
    try {
      const answer = await this.#parts.start((event) => this.#hear(event));
      if (this.#fault !== null) throw this.#fault.error;
      this.#give(this.#stop.end());
      if (!this.#stop.stopped) this.#text += this.#parts.text?.end() ?? "";
      return this.#result(answer);
    } finally {
      this.#ended = true;
      this.#changed.resolve();
    }
  }

  // What the caller's own progress throws is the result's error, not the worker's.
  #hear(event: RequestEvent): boolean {
    if (event.kind === "started") {
      this.#begun.resolve(true);
      return false;
    }
    try {
      this.#take(event);
    } catch (error) {
      this.#fault ??= { error };
      this.#parts.cancel();
    }
    return this.#stop.stopped;
  }

  #take(event: Exclude<RequestEvent, { readonly kind: "started" }>): void {
    if (event.kind === "prefilled") {
      this.#prefilled += event.tokens;
      this.#parts.progress?.(this.#prefilled, this.#prefilled + event.left);
      return;
    }
    const text = this.#parts.text?.push(event.id) ?? "";
    const { id, logprobs } = event;
    const piece = logprobs === null
      ? { id, text }
      : { id, text, logprob: logprobs.logprob, logprobs: logprobs.top };
    this.#give(this.#stop.push(piece));
  }

  #give(pieces: readonly Piece[]): void {
    for (const piece of pieces) {
      this.#pieces.push(piece);
      this.#text += piece.text;
    }
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  #result(answer: GenerateAnswer): GenerateResult {
    const { withLogprobs, loadMs, device, model } = this.#parts;
    const { promptTokens, cachedTokens, cachedGeneratedTokens } = answer;
    const { prefillMs, decodeMs, steps, stepTokens } = answer;
    const completionTokens = this.#pieces.length;
    return {
      text: this.#text,
      tokens: this.#pieces.map(({ id }) => id),
      stop: answer.stop,
      usage: { promptTokens, completionTokens, cachedTokens, cachedGeneratedTokens },
      ...withLogprobs ? logprobsOf(this.#pieces) : {},
      cache: answer.cache,
      timing: {
        loadMs,
        prefillMs,
        decodeMs,
        tokensPerSecond: steps === 0 ? 0 : stepTokens * 1000 / decodeMs,
        tokensPerStep: steps === 0 ? 0 : stepTokens / steps,
      },
      device,
      model,
    };
  }
}

function logprobsOf(pieces: readonly Piece[]): Pick<GenerateResult, "tokenLogprobs" | "logprobs"> {
  return {
    tokenLogprobs: pieces.map(({ logprob }) => logprob!),
    logprobs: pieces.map(({ logprobs }) => logprobs!),
  };
}
