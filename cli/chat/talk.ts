// talk.ts - a conversation with a model: its turns, and the engine and session that hold them.
import type { EngineOptions, Mode } from "../../engine/config.ts";
import type { GenerateOptions } from "../../engine/config_generate.ts";
import type { Message } from "../../engine/conversation.ts";
import { Engine } from "../../engine/engine.ts";
import type { EngineStats } from "../../engine/engine_stats.ts";
import { SpecacheError } from "../../engine/errors.ts";
import type { GenerateResult } from "../../engine/generation.ts";
import type { Session } from "../../engine/session.ts";
import type { CacheStats, GuessCount } from "../../engine/stats.ts";

/** What a model answered. */
export interface Answer {
  readonly result: GenerateResult;
  /** Guesses of this answer alone. */
  readonly guess: GuessCount;
  /** Whether the context has no room for more. */
  readonly full: boolean;
}

/** What a request is watched by. */
export interface Watch {
  readonly signal: AbortSignal;
  readonly progress: (done: number, of: number) => void;
}

const NO_GUESSES: GuessCount = { made: 0, right: 0 };

/** A conversation; each turn reads only what is new. */
export class Talk implements AsyncDisposable {
  /** How answers are drawn and where they end. */
  request: GenerateOptions;
  #options: EngineOptions;
  #system: string | null;
  #turns: Message[] = [];
  #engine: Engine | null = null;
  #session: Session | null = null;
  #guess = NO_GUESSES; // of all answers since the engine was opened

  private constructor(options: EngineOptions, request: GenerateOptions, system: string | null) {
    this.#options = options;
    this.request = request;
    this.#system = system;
  }

  /**
   * Opens a model for a conversation.
   *
   * @throws {SpecacheError} as Engine.open
   */
  static async open(
    options: EngineOptions,
    request: GenerateOptions,
    system: string | null,
  ): Promise<Talk> {
    const talk = new Talk(options, request, system);
    await talk.#open();
    return talk;
  }

  /** All that is said so far. */
  get messages(): readonly Message[] {
    const system: Message[] = this.#system === null
      ? []
      : [{ role: "system", content: this.#system }];
    return [...system, ...this.#turns];
  }

  /** Mode of the cache. */
  get mode(): Mode {
    return this.#options.mode ?? "specache";
  }

  /** What comes before all turns; null: nothing. */
  get system(): string | null {
    return this.#system;
  }

  set system(text: string | null) {
    this.#system = text;
  }

  /**
   * Says something and hands on the answer's text as it comes. A turn that failed, or was stopped
   * before its first token, is not kept.
   *
   * @throws {SpecacheError} as Session.generate
   */
  async ask(content: string, watch: Watch, hear: (text: string) => void): Promise<Answer> {
    const user: Message = { role: "user", content };
    const messages = [...this.messages, user];
    const { result, full } = await this.#answer({ ...this.request, ...watch, messages }, hear);
    if (result.tokens.length > 0 || result.stop !== "cancelled") {
      this.#turns.push(user, { role: "assistant", content: result.text });
    }
    const { made, right } = result.cache.guess;
    const guess = { made: made - this.#guess.made, right: right - this.#guess.right };
    this.#guess = { made, right };
    return { result, guess, full };
  }

  /** Forgets the last turn and its answer; false: there is none. */
  undo(): boolean {
    return this.#turns.splice(-2).length > 0;
  }

  /** Forgets all turns. */
  reset(): void {
    this.#turns = [];
  }

  /**
   * Opens the model again in another mode and reads what was said; answers the tokens read. What
   * cannot be opened leaves the mode as it was.
   *
   * @throws {SpecacheError} as Engine.open; cancelled: the rest is read with what comes next
   */
  async reopen(mode: Mode, watch: Watch): Promise<number> {
    const before = this.#options;
    await this.#close(); // first: memory may not do for two
    this.#options = { ...before, mode };
    try {
      await this.#open();
    } catch (error) {
      this.#options = before;
      await this.#open();
      throw error;
    }
    if (this.#turns.length === 0) return 0;
    await this.#session!.append({ messages: this.messages, ...watch });
    return this.#session!.length;
  }

  /** What the session holds, and what the engine has done. */
  async stats(): Promise<{ cache: CacheStats; engine: EngineStats }> {
    return { cache: await this.#session!.stats(), engine: await this.#engine!.stats() };
  }

  /** Closes the model. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }

  async #open(): Promise<void> {
    this.#engine = await Engine.open(this.#options);
    this.#session = await this.#engine.session();
    this.#guess = NO_GUESSES;
  }

  async #close(): Promise<void> {
    await this.#engine?.close();
    this.#engine = null;
  }

  async #answer(
    options: GenerateOptions,
    hear: (text: string) => void,
  ): Promise<{ result: GenerateResult; full: boolean }> {
    try {
      return { result: await this.#stream(options, hear), full: false };
    } catch (error) {
      const maxTokens = roomOf(error);
      if (maxTokens === null) throw error;
      const result = await this.#stream({ ...options, maxTokens }, hear);
      return { result, full: true };
    }
  }

  async #stream(options: GenerateOptions, hear: (text: string) => void): Promise<GenerateResult> {
    const run = this.#session!.generate(options);
    let heard = 0;
    for await (const { text } of run) {
      hear(text);
      heard += text.length;
    }
    const result = await run.result;
    hear(result.text.slice(heard)); // a character that the last token left unfinished
    return result;
  }
}

// Tokens that an answer may have where it asked for more than the context has room for; null: the
// error is another, or there is no room at all.
function roomOf(error: unknown): number | null {
  if (!(error instanceof SpecacheError) || error.code !== "capacity") return null;
  const { held, prompt, contextTokens } = error.details;
  const room = Number(contextTokens) - Number(held) - Number(prompt) + 1; // the last is not held
  if (room >= 1) return room;
  if (Number.isNaN(room)) return null;
  throw new SpecacheError(
    "capacity",
    `Cannot answer: ${held} tokens held and ${prompt} new ones are above the context's ` +
      `${contextTokens}; /undo and /reset make room, --context gives more`,
    { details: error.details },
  );
}
