// generation.ts - a generation that a host runs. Its pieces are read as they are asked for; a host
// that fails before the first one was passed on is replaced by another.
import type { GenerateOptions } from "../engine/config_generate.ts";
import { SpecacheError } from "../engine/errors.ts";
import type { GenerateResult, Piece } from "../engine/generation.ts";
import type { ServedGeneration } from "../routes/engine.ts";
import { type ErrorBody, RequestError } from "../routes/errors.ts";
import { affinityOf } from "./affinity.ts";
import { eventsOf } from "./events.ts";
import type { Host } from "./host.ts";
import { gone, HostError } from "./host_error.ts";
import type { Hosts } from "./hosts.ts";
import { Pulse } from "./pulse.ts";

/** Pieces that are read ahead of who iterates. */
export const AHEAD = 64;

/** What a generation needs. */
export interface GenerationParts {
  /** Where its request goes. */
  readonly path: string;
  readonly silenceMs: number;
  /** Gives `attempt` one host after another until one takes the request. */
  readonly place: Hosts["place"];
  /** Told the texts of tokens that may be asked for by id. */
  readonly learn: (id: number, text: string) => void;
  /** Told what comes with the result. */
  readonly more?: (event: Readonly<Record<string, unknown>>) => void;
}

interface Prefilled {
  readonly tokens: number;
  readonly promptTokens: number;
}

/** A running or finished generation. Its pieces can be iterated once. */
export class RemoteGeneration implements ServedGeneration {
  readonly started: Promise<boolean>;
  /**
   * Settles when it has ended. Where somebody iterates, it waits for them; cancelled, it rejects,
   * for what the host counted is then never told.
   */
  readonly result: Promise<GenerateResult>;
  readonly #parts: GenerationParts;
  readonly #options: GenerateOptions;
  readonly #left = new AbortController();
  readonly #started = Promise.withResolvers<boolean>();
  readonly #queue: Piece[] = [];
  #iterated = false;
  #passed = false;
  #ended = false;
  #changed = Promise.withResolvers<void>();

  /** Sends the request. */
  constructor(parts: GenerationParts, options: GenerateOptions) {
    this.#parts = parts;
    this.#options = options;
    this.started = this.#started.promise;
    this.result = this.#run();
    this.started.catch(() => {});
    this.result.catch(() => {}); // whoever iterates meets the error there
  }

  /** Pieces as they come. Leaving early cancels. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Piece, GenerateResult> {
    this.#iterated = true;
    try {
      while (true) {
        while (this.#queue.length > 0) {
          const piece = this.#queue.shift()!;
          this.#passed = true;
          this.#change();
          yield piece;
        }
        if (this.#ended) return await this.result;
        await this.#changed.promise;
      }
    } finally {
      if (!this.#ended) {
        this.#left.abort();
        this.#change();
        await this.result.catch(() => {});
      }
    }
  }

  async #run(): Promise<GenerateResult> {
    const { signal } = this.#options;
    const leave = () => this.#left.abort();
    signal?.addEventListener("abort", leave);
    if (signal?.aborted) leave();
    try {
      const key = affinityOf(this.#options);
      return await this.#parts.place(key, (host) => this.#attempt(host));
    } catch (cause) {
      const left = this.#left.signal.aborted;
      const error = left ? cancelled(cause) : cause;
      if (left) this.#started.resolve(false);
      else this.#started.reject(error);
      throw error;
    } finally {
      signal?.removeEventListener("abort", leave);
      this.#ended = true;
      this.#change();
    }
  }

  async #attempt(host: Host): Promise<GenerateResult> {
    const left = this.#left.signal;
    if (left.aborted) throw cancelled();
    using pulse = new Pulse(host, this.#parts.silenceMs, left);
    try {
      const { salt: tenant, client: _, signal: __, progress: ___, ...options } = this.#options;
      const response = await host.ask(this.#parts.path, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
        body: JSON.stringify({ ...options, stream: true }),
        tenant,
        signal: pulse.signal,
      });
      this.#started.resolve(true);
      return await this.#read(host, response, pulse);
    } catch (cause) {
      if (left.aborted) throw cause;
      throw this.#failureOf(pulse.signal.aborted ? pulse.signal.reason : cause);
    }
  }

  // Another host begins anew, so it is asked where no piece was passed on, and none may be from
  // then on: whoever iterates could come before the other host is asked.
  #failureOf(cause: unknown): unknown {
    if (!(cause instanceof HostError)) return cause;
    if (this.#passed) return gone(cause);
    this.#queue.length = 0;
    return cause;
  }

  async #read(host: Host, response: Response, pulse: Pulse): Promise<GenerateResult> {
    let result: GenerateResult | null = null;
    let fault: unknown;
    for await (const event of untilBroken(eventsOf(response), (cause) => fault = cause)) {
      pulse.heard();
      if (event.texts) this.#learn(event.texts);
      if (event.piece) await this.#give(event.piece as Piece, pulse);
      else if (event.prefilled) this.#tell(event.prefilled as Prefilled);
      else if (event.error) throw refusalOf(event as unknown as ErrorBody);
      else if (event.result) {
        result = event.result as GenerateResult;
        this.#parts.more?.(event);
      }
    }
    if (result !== null) return result;
    // Where who asked has left, or a probe found the host gone, the stream ends by that.
    throw pulse.signal.aborted ? pulse.signal.reason : host.lost(fault, { begun: true });
  }

  // A piece with logprobs comes with the texts of the ids that it names.
  #learn(texts: object): void {
    for (const [id, text] of Object.entries(texts)) this.#parts.learn(Number(id), text);
  }

  #tell({ tokens, promptTokens }: Prefilled): void {
    this.#options.progress?.(tokens, promptTokens);
  }

  // Waits where somebody iterates and is behind.
  async #give(piece: Piece, pulse: Pulse): Promise<void> {
    this.#queue.push(piece);
    this.#change();
    const { signal } = this.#left;
    pulse.paused();
    while (this.#iterated && this.#queue.length >= AHEAD && !signal.aborted) {
      await this.#changed.promise;
    }
    pulse.heard();
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

// What a host sends, up to where that ends or breaks off.
async function* untilBroken<T>(
  events: AsyncIterable<T>,
  broken: (cause: unknown) => void,
): AsyncGenerator<T> {
  try {
    yield* events;
  } catch (cause) {
    broken(cause);
  }
}

function cancelled(cause?: unknown): SpecacheError {
  return new SpecacheError("cancelled", "Cannot answer: the client has left", { cause });
}

// A host tells of what fails in a stream without a status: that is sent already.
function refusalOf({ error: { message, type, param, code } }: ErrorBody): RequestError {
  const ours = code === "internal" ? 500 : 503;
  const status = type === "invalid_request_error" ? 400 : ours;
  return new RequestError(status, code, message, param);
}
