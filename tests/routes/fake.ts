// fake.ts - an engine that loads no library: it answers each prompt with a fixed text, a token a
// character, each when the test says so.
import {
  type CachePlan,
  type EngineStats,
  type GenerateOptions,
  type GenerateResult,
  type Piece,
  SpecacheError,
} from "../../mod.ts";
import type { ServedEngine, ServedGeneration, ServedSession } from "../../routes/app.ts";
import { cachePlan, engineStats, type FakeHost, FakeSession } from "./fake_session.ts";

/** How the fake engine answers. */
export interface FakeOptions {
  /** Its answer; default "hello". */
  readonly text?: string;
  readonly contextTokens?: number;
  /** Sessions that may be open; default 4. */
  readonly sessionsMax?: number;
  /** Generations that run at a time; default 1. */
  readonly sequences?: number;
  /** Why it ends where it is not cut; default eos. */
  readonly stop?: GenerateResult["stop"];
  /** Awaited before each token. */
  readonly token?: (at: number) => Promise<void> | void;
  /** Thrown at once by generate. */
  readonly refuses?: Error;
  /** Rejects the result after all tokens. */
  readonly fails?: Error;
}

/** An engine of one-character tokens, whose ids are their code points. */
export class FakeEngine implements ServedEngine, FakeHost {
  readonly model = { name: "fake" };
  readonly contextTokens: number;
  readonly sessionsMax: number;
  /** Sessions that are open. */
  readonly open = new Set<FakeSession>();
  /** Options of each generation so far. */
  readonly asked: GenerateOptions[] = [];
  /** Generations that run. */
  running = 0;
  /** Most that ran at a time. */
  most = 0;
  readonly #options: FakeOptions;
  #waiting: (() => void)[] = [];

  constructor(options: FakeOptions = {}) {
    this.#options = options;
    this.contextTokens = options.contextTokens ?? 1000;
    this.sessionsMax = options.sessionsMax ?? 4;
  }

  tokenText(id: number): string {
    return String.fromCodePoint(id);
  }

  session(): Promise<ServedSession> {
    return Promise.resolve().then(() => new FakeSession(this));
  }

  plan(tokens: number = this.contextTokens): CachePlan {
    return cachePlan(tokens);
  }

  stats(): Promise<EngineStats> {
    return Promise.resolve(engineStats(this));
  }

  generate(options: GenerateOptions): ServedGeneration {
    if (this.#options.refuses) throw this.#options.refuses;
    const ids = idsOf(options);
    const maxTokens = this.#room(ids.length, options.maxTokens);
    const pieces: Piece[] = [];
    const started = this.#turn(options.signal);
    const result = started.then(async (runs) => {
      if (!runs) return resultOf(ids, pieces, "cancelled");
      this.asked.push(options);
      try {
        return await this.#run({ ...options, maxTokens }, ids, pieces);
      } finally {
        this.running--;
        for (const wake of this.#waiting.splice(0)) wake();
      }
    });
    result.catch(() => {});
    return {
      started,
      result,
      async *[Symbol.asyncIterator]() {
        for (let at = 0;; at++) {
          while (at >= pieces.length) {
            const ended = await Promise.race([result.then(() => true), later().then(() => false)]);
            if (ended && at >= pieces.length) return;
          }
          yield pieces[at];
        }
      },
    };
  }

  // Whose turn it is, first come, first served; false: it was given up before.
  async #turn(signal: AbortSignal | undefined): Promise<boolean> {
    const { sequences = 1 } = this.#options;
    while (this.running >= sequences && !signal?.aborted) {
      const turn = new Promise<void>((answer) => this.#waiting.push(answer));
      await Promise.race([turn, aborted(signal)]);
    }
    if (signal?.aborted) return false;
    this.most = Math.max(this.most, ++this.running);
    return true;
  }

  #room(prompt: number, asked: GenerateOptions["maxTokens"] = 128): number {
    const { contextTokens } = this;
    const room = contextTokens - prompt;
    if (room >= (asked === "rest" ? 1 : asked)) return asked === "rest" ? room : asked;
    const sentence = `Cannot generate: ${prompt} tokens of the prompt and maxTokens ${asked} are ` +
      `above contextTokens ${contextTokens}`;
    throw new SpecacheError("capacity", sentence, { details: { contextTokens } });
  }

  async #run(
    { maxTokens, logprobs = 0, signal, progress }: GenerateOptions & { maxTokens: number },
    ids: readonly number[],
    pieces: Piece[],
  ): Promise<GenerateResult> {
    const { text = "hello", stop = "eos", token, fails } = this.#options;
    const characters = [...text];
    progress?.(ids.length, ids.length);
    for (const [at, character] of characters.slice(0, maxTokens).entries()) {
      await Promise.race([token?.(at), aborted(signal)]);
      if (signal?.aborted) return resultOf(ids, pieces, "cancelled");
      const id = character.codePointAt(0)!;
      const told = { logprob: -0.5, logprobs: [[id, -0.5], [65, -1.5]] as const };
      pieces.push({ id, text: character, ...logprobs > 0 ? told : {} });
    }
    if (fails) throw fails;
    return resultOf(ids, pieces, maxTokens < characters.length ? "length" : stop);
  }
}

function idsOf({ messages, prompt, ids }: GenerateOptions): readonly number[] {
  if (ids !== undefined) return ids;
  const turns = messages?.map(({ role, content }) => `${role}:${content}\n`);
  const text = prompt ?? turns?.join("") ?? "";
  return [...text].map((character) => character.codePointAt(0)!);
}

function resultOf(
  ids: readonly number[],
  pieces: readonly Piece[],
  stop: GenerateResult["stop"],
): GenerateResult {
  const cached = { cachedTokens: 0, cachedGeneratedTokens: 0 };
  return {
    text: pieces.map(({ text }) => text).join(""),
    tokens: pieces.map(({ id }) => id),
    stop,
    usage: { promptTokens: ids.length, completionTokens: pieces.length, ...cached },
    cache: { nearBytes: 1, fullBytes: 2, lateRows: 3 },
    timing: { prefillMs: 4, tokensPerSecond: 5 },
  } as unknown as GenerateResult; // what the routes read of it
}

function later(): Promise<void> {
  return new Promise((answer) => setTimeout(answer, 1));
}

function aborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((answer) => {
    if (signal === undefined) return;
    if (signal.aborted) return answer();
    signal.addEventListener("abort", () => answer(), { once: true });
  });
}

/** What a request to the fake engine's chat needs; `fields` more of it. */
export function chatBody(fields: object = {}): Record<string, unknown> {
  return { model: "fake", messages: [{ role: "user", content: "hi" }], ...fields };
}

/** A request with a JSON body. */
export function post(
  path: string,
  body: unknown,
  { signal, headers }: { signal?: AbortSignal; headers?: Record<string, string> } = {},
): Request {
  return new Request(`http://localhost${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
    signal,
  });
}

/** The data of each event of a stream: objects, and the word that ends it. */
// deno-lint-ignore no-explicit-any -- tests read whatever a chunk holds
export async function eventsOf(response: Response): Promise<any[]> {
  const text = await response.text();
  return text.split("\n\n").filter((event) => event !== "").map((event) => {
    const data = event.replace(/^data: /, "");
    return data === "[DONE]" ? data : JSON.parse(data);
  });
}
