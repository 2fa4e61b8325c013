// host.ts - one server of specache: asks it, and keeps what is known of it. What is kept is plain
// data, so that requests can share it in runtimes that let no request touch another's I/O.
import { z } from "zod";
import type { EngineStats } from "../engine/engine_stats.ts";
import { RequestError } from "../routes/errors.ts";
import { HostError, type HostErrorOptions } from "./host_error.ts";
import { Load } from "./load.ts";
import type { HostOptions } from "./options.ts";

const RETRY_SECONDS_MAX = 60;
const ANSWER_BYTES_MAX = 1 << 16; // of a refusal
// What whoever stands before a host may refuse a single request with, in words of its own.
const OF_REQUESTS: readonly number[] = [400, 413, 414, 431];

/** What a host tells of itself. */
export interface HostFacts extends EngineStats {
  readonly model: { readonly name: string };
  readonly contextTokens: number;
}

/** A request to a host. */
export interface Ask {
  readonly method?: "GET" | "POST" | "DELETE" | "PUT";
  readonly body?: BodyInit | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** Whose request it is, told apart by the host; "" or left out: nobody's in particular. */
  readonly tenant?: string;
  readonly signal?: AbortSignal;
}

/** What all hosts of an engine have in common. */
export interface HostRules {
  /** Milliseconds for which what is known of a host holds. */
  readonly ageMs: number;
  /** Milliseconds that it may take to tell. */
  readonly probeMs: number;
  /** The model that it must serve; null: any. */
  readonly model: string | null;
}

const number = z.number();
const facts = z.looseObject({
  model: z.looseObject({ name: z.string() }),
  contextTokens: number,
  running: number,
  waiting: number.optional(),
});

const refusalBody = z.looseObject({
  error: z.looseObject({ message: z.string(), code: z.string(), param: z.string().nullish() }),
});

/** One server. */
export class Host {
  /** Its place in the list; sentences name it by that, for its address is nobody's business. */
  readonly index: number;
  /** Its address, without a slash or /v1 at the end. */
  readonly url: string;
  readonly #key: string | undefined;
  readonly #rules: HostRules;
  /** It did not answer, and has not been seen since. */
  #gone = false;
  /** Until when it asked to be left alone, ms since 1970. */
  #restsUntil = 0;
  #askedAt = -Infinity;
  readonly #load = new Load();

  /** Nothing is known of it yet: it is held to be there. */
  constructor({ url, key }: HostOptions, index: number, rules: HostRules) {
    this.index = index;
    this.url = url.replace(/\/(v1\/?)?$/, "");
    this.#key = key;
    this.#rules = rules;
  }

  /** Whether it is there and takes requests, as far as is known. */
  get usable(): boolean {
    return !this.#gone && Date.now() >= this.#restsUntil;
  }

  /** Requests that run or wait there: as it told, and what came and went from here since. */
  get load(): number {
    return this.#load.count;
  }

  /** When it was last asked how it is, ms since 1970. */
  get askedAt(): number {
    return this.#askedAt;
  }

  /** Whether what is known of it is old, and it did not ask to be left alone. */
  get isOld(): boolean {
    return Date.now() >= Math.max(this.#askedAt + this.#rules.ageMs, this.#restsUntil);
  }

  /**
   * Counts a request until what is answered is called; twice is fine. Where a runtime drops a
   * request without another word, the next probe but one sets it right.
   */
  begin(): () => void {
    return this.#load.begin();
  }

  /**
   * Asks it; the answer is a success.
   *
   * @throws {HostError} it did not take the request: another host may
   * @throws {RequestError} it refused the request
   */
  async ask(path: string, ask: Ask = {}): Promise<Response> {
    const { method = "GET", body, headers, tenant, signal } = ask;
    const own: Record<string, string> = { ...headers };
    if (this.#key !== undefined) own["Authorization"] = `Bearer ${this.#key}`;
    if (tenant) own["Specache-Tenant"] = encodeURIComponent(tenant);
    let response;
    try {
      const streamed = body instanceof ReadableStream ? { duplex: "half" } : {};
      response = await fetch(this.url + path, {
        ...{ method, body, signal, headers: own, redirect: "manual" },
        ...streamed,
      });
    } catch (cause) {
      if (signal?.aborted) throw cause;
      throw this.lost(cause);
    }
    if (!response.ok) throw await this.#refusal(response, signal);
    this.#gone = false;
    return response;
  }

  /**
   * The JSON of an answer; `signal` is that of the request.
   *
   * @throws {HostError} it broke off, or is not what a server of specache tells
   */
  async json<T>(response: Response, schema: z.ZodType<T>, signal?: AbortSignal): Promise<T> {
    try {
      return schema.parse(await response.json());
    } catch (cause) {
      if (signal?.aborted) throw cause;
      throw this.lost(cause, { begun: true });
    }
  }

  /** It is gone, and stays so until a probe finds it. */
  lost(cause?: unknown, options: HostErrorOptions = {}): HostError {
    this.#gone = true;
    const why = cause instanceof Error ? `: ${cause.message}` : "";
    return new HostError(`Cannot use host ${this.index}${why}`, { cause, ...options });
  }

  /**
   * Asks what it knows without work, within `probeMs`.
   *
   * @throws {HostError} it does not answer in time, or not as a server of specache does
   * @throws {RequestError} it refused
   */
  async tell<T>(path: string, schema: z.ZodType<T>): Promise<T> {
    const signal = AbortSignal.timeout(this.#rules.probeMs);
    try {
      return await this.json(await this.ask(path, { signal }), schema);
    } catch (cause) {
      if (cause instanceof HostError || cause instanceof RequestError) throw cause;
      throw this.lost(cause);
    }
  }

  /**
   * Asks whether it takes requests.
   *
   * @throws {HostError} it does not, or is not there
   */
  async ready(): Promise<void> {
    await Promise.all([this.tell("/ready", z.unknown()), this.probe()]);
  }

  /**
   * Asks what it has to tell.
   *
   * @throws {HostError} it does not answer in time, or is no server of specache
   */
  async probe(): Promise<HostFacts> {
    this.#askedAt = Date.now();
    const hear = this.#load.ask();
    try {
      const told = await this.tell("/v1/stats", facts);
      const { model } = this.#rules;
      if (told.model.name !== (model ?? told.model.name)) {
        throw this.lost(new Error(`it serves ${told.model.name.slice(0, 60)} instead of ${model}`));
      }
      hear(told.running + (told.waiting ?? 0));
      return told as unknown as HostFacts;
    } catch (cause) {
      // No tenant's share is asked for here, so what it refuses it refuses to all.
      if (cause instanceof HostError && cause.refusal !== null) this.#rest(cause.refusal);
      throw cause;
    }
  }

  #rest({ headers }: RequestError): void {
    this.#restsUntil = Date.now() + 1000 * Number(headers["Retry-After"]);
  }

  async #refusal(response: Response, signal?: AbortSignal): Promise<Error> {
    const { status } = response;
    const said = refusalBody.safeParse(await smallJson(response));
    if (signal?.aborted) return signal.reason; // what it said is not known
    const code = said.success ? said.data.error.code : "no code";
    const told = new HostError(`Cannot use host ${this.index}: it answers ${status} ${code}`);
    // A wrong key, another program at this address, or a proxy whose server has gone.
    if (!said.success || status === 401 || status === 403) {
      this.#gone ||= !OF_REQUESTS.includes(status);
      return told;
    }
    const { message, param = null } = said.data.error;
    const seconds = Number(response.headers.get("Retry-After") ?? 1);
    const wait = Math.min(Number.isFinite(seconds) ? Math.max(seconds, 0) : 1, RETRY_SECONDS_MAX);
    const again = status === 429 || status === 503;
    const headers: Record<string, string> = again ? { "Retry-After": String(Math.ceil(wait)) } : {};
    const allow = response.headers.get("Allow");
    if (allow !== null) headers["Allow"] = allow;
    const refusal = new RequestError(status, code, message, param, headers);
    if (!again) return refusal;
    if (code === "closed") this.#rest(refusal); // any other is for this tenant or this moment
    return new HostError(told.message, { refusal });
  }
}

async function smallJson(response: Response): Promise<unknown> {
  try {
    const text = await response.text();
    return text.length > ANSWER_BYTES_MAX ? null : JSON.parse(text);
  } catch {
    return null;
  }
}
