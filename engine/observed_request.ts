// observed_request.ts - one request for those who look on: how each token of its text came.
import type { DecodeState } from "./decode_state.ts";
import type { Stop } from "./decode.ts";
import type { Came, RunningRequest } from "./observation.ts";
import { ObservedSteps } from "./observed_steps.ts";
import type { CacheStats, GuessStats } from "./stats.ts";

/** What is known of a request when it begins to run. */
export interface Running {
  readonly ticket: number;
  /** Whose it is. */
  readonly salt: string;
  /** Whether its text is a session's. */
  readonly session: boolean;
  readonly state: DecodeState;
  readonly maxTokens: number;
  /** When it began, as performance.now(). */
  readonly started: number;
}

/** The tokens of a text, and how each came. */
export class ObservedRequest {
  readonly running: Running;
  readonly steps: ObservedSteps = new ObservedSteps();
  /** Counters when they were last looked at; null: never. */
  counted: CacheStats | null = null;
  /** How each token came that was there when somebody looked. */
  #came: Came[] = [];
  /** Wrong guesses, by the place of the token that came instead. */
  readonly #guessed = new Map<number, number>();
  #ended: { readonly ids: readonly number[]; readonly stop: Stop | "failed" } | null = null;
  #guesses: GuessStats | null = null;

  /** `came`: how tokens came that are there already and no prompt's. */
  constructor(running: Running, came: Came) {
    this.running = running;
    this.#fill(came);
  }

  /** Ids of its tokens. */
  get ids(): readonly number[] {
    return this.#ended?.ids ?? this.running.state.text.ids;
  }

  /** How it ended; null: it runs. */
  get ended(): Stop | "failed" | null {
    return this.#ended?.stop ?? null;
  }

  /** How the token at `position` came. */
  cameOf(position: number): Came {
    return this.#came[position] ?? "plain";
  }

  /** The id that was guessed where another token came; null: none. */
  guessedAt(position: number): number | null {
    return this.#came[position] === "wrong" ? this.#guessed.get(position) ?? null : null;
  }

  /** Takes note of what came since, by no step: the first token, or a prompt. */
  look(): void {
    if (this.#ended === null) this.#fill("plain");
  }

  /** A step of it begins. */
  stepping(): void {
    this.look();
    this.#guesses = structuredClone(this.running.state.guessStats);
  }

  /** That step has ended; `inputs` were its true token and the guesses. */
  stepped(inputs: readonly number[]): void {
    const [before, { guessStats, text }] = [this.#guesses!, this.running.state];
    const first = this.#came.length;
    if (text.length <= first) return; // a pass over the codes alone, or a token that ends the text
    const right = guessStats.right > before.right;
    const made = guessStats.made > before.made;
    this.#came.push(made ? right ? "right" : "wrong" : "plain");
    if (made && !right) this.#guessed.set(first, inputs[1]);
    this.#fill("accepted");
  }

  /** Its text is the caller's no more. */
  end(stop: Stop | "failed"): void {
    this.look();
    this.#ended = { ids: [...this.running.state.text.ids], stop };
  }

  /** The request as it runs. */
  request(now: number): RunningRequest {
    const { ticket, session, state, maxTokens, started } = this.running;
    return {
      ...{ ticket, session, maxTokens },
      tokens: state.length,
      left: state.unread.length,
      generated: state.text.length - state.prompted,
      ms: now - started,
    };
  }

  // A text may have been cut since, too, where a stop string ended it.
  #fill(generated: Came): void {
    const { text, prompted } = this.running.state;
    this.#came.length = Math.min(this.#came.length, text.length);
    for (let at = this.#came.length; at < text.length; at++) {
      this.#came.push(at < prompted ? "prompt" : generated);
    }
  }
}
