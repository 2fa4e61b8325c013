// session.ts - one text: prompts and answers in turn, without a second prefill of what it holds.
import type { WorkerClient } from "./client.ts";
import { tokenCount } from "./config.ts";
import {
  type GenerateOptions,
  generateOptions,
  type PromptOptions,
  promptOptions,
  type SessionOptions,
  sessionOptions,
} from "./config_generate.ts";
import type { GrammarThreads, HeldFormat } from "./constrain/grammar_threads.ts";
import { SpecacheError } from "./errors.ts";
import { type GenerateResult, Generation } from "./generation.ts";
import type { PlaceAsk, SessionAnswer } from "./messages.ts";
import type { ModelDescription } from "./model/describe.ts";
import { parse } from "./parse.ts";
import { type Prompt, type PromptHost, promptOf, tokenizerOf, type Written } from "./prompt.ts";
import { type Settings, settleRequest } from "./settings.ts";
import type { CacheStats } from "./stats.ts";

const ACTION = "generate";

/** What an engine shares with its sessions. */
export interface SessionHost extends PromptHost {
  readonly client: WorkerClient;
  readonly settings: Settings;
  readonly description: ModelDescription;
  readonly loadMs: number;
  readonly device: GenerateResult["device"];
  /** Makes the native call at work end at the next layer. */
  cancel(): void;
  /** Grammars of the formats that texts are held to. */
  readonly grammars: GrammarThreads;
  /** What stops each generation that runs or waits. */
  readonly running: Set<() => void>;
  /** Generations so far. */
  tickets: number;
  /** Generations whose turn has come, and that have not ended. */
  started: number;
  /** Whether the engine is closed, or closing. */
  closed: boolean;
}

/** One text in an engine; Engine.session opens one. */
export class Session implements AsyncDisposable {
  readonly #host: SessionHost;
  readonly #id: number;
  #length: number;
  #begun: boolean;
  #conversation: Written | null = null;
  #running = false;
  #closed = false;

  /** Engine.session and fork make sessions. */
  constructor(host: SessionHost, id: number, { length, begun }: Omit<SessionAnswer, "session">) {
    this.#host = host;
    this.#id = id;
    this.#length = length;
    this.#begun = begun;
  }

  /** Opens a session, once there is a place for it. */
  static async open(host: SessionHost, options: SessionOptions): Promise<Session> {
    const answer = await placed(
      host,
      options,
      "open a session",
      (ask) => host.client.call("session", ask),
    );
    return new Session(host, answer.session, answer);
  }

  /** Generates in a text of its own, whose beginning may be one that is kept. */
  static once(host: SessionHost, options: GenerateOptions): Generation {
    parse(generateOptions, options, ACTION);
    return generation(host, options, promptOf(host, options), (start) => start(null));
  }

  /** Tokens that the session holds. */
  get length(): number {
    return this.#length;
  }

  /**
   * Goes on from what the session holds and the prompt or ids given; neither: from where the last
   * generation stopped. Messages are the whole text: of what the session holds, it keeps what they
   * begin with.
   *
   * @throws {SpecacheError} argument, busy, closed; others reach whoever awaits the result
   */
  generate(options: GenerateOptions): Generation {
    this.#checkOpen();
    if (this.#running) {
      throw new SpecacheError("busy", `Cannot ${ACTION}: the session is at work`);
    }
    parse(generateOptions, options, ACTION);
    const before = { begun: this.#begun, conversation: this.#conversation };
    return this.#go(options, promptOf(this.#host, options, before));
  }

  /**
   * Reads a prompt and generates nothing: what comes next need not wait for it. Of messages it
   * reads the turns, and not that an answer is to come.
   *
   * @throws {SpecacheError} argument, busy, closed; cancelled: the signal ended it, and what is
   * left of the prompt is read with what comes next
   */
  async append(options: PromptOptions): Promise<void> {
    this.#checkIdle();
    parse(promptOptions, options, "append");
    const before = { begun: this.#begun, conversation: this.#conversation };
    let stop;
    try {
      const prompt = promptOf(this.#host, options, before, false);
      ({ stop } = await this.#go({ ...options, maxTokens: 0 }, prompt).result);
    } catch (error) {
      throw ofAppend(error);
    }
    if (stop !== "cancelled") return;
    throw new SpecacheError("cancelled", "Cannot append: the signal ended it");
  }

  #go(options: GenerateOptions, prompt: Prompt): Generation {
    const run = generation(this.#host, options, prompt, async (start) => {
      try {
        const answer = await start(this.#id);
        this.#hold(answer);
        return answer;
      } catch (cause) {
        if (prompt.whole !== null) await this.#askHeld();
        if (!this.#closed) throw cause;
        throw new SpecacheError("closed", "Cannot use the session: it is closed", { cause });
      } finally {
        this.#running = false;
      }
    });
    this.#running = true;
    const { whole, ids } = prompt;
    if (whole !== null) {
      run.result.then(({ stop, text, tokens }) => {
        // A stop string's tokens are no part of the text.
        const [answer, generated] = stop === "stop" ? ["", []] : [text, tokens];
        this.#conversation = { text: whole + answer, ids: [...ids, ...generated] };
      }, () => {});
    }
    return run;
  }

  // A conversation that failed has cut off already what it did not begin with.
  async #askHeld(): Promise<void> {
    try {
      this.#hold(await this.#host.client.call("held", { session: this.#id }));
    } catch {
      // A session that is closed holds nothing, and the caller hears of the first error.
    }
  }

  /** What the session holds and what was fetched for it. */
  stats(): Promise<CacheStats> {
    this.#checkOpen();
    return this.#host.client.call("stats", { session: this.#id });
  }

  /**
   * A second session with the same tokens; full pages are shared. Where requests have all places,
   * it waits for its turn among them.
   *
   * @throws {SpecacheError} as Engine.session; busy: it generates, or is forked
   */
  async fork(options: SessionOptions = {}): Promise<Session> {
    this.#checkIdle();
    this.#running = true; // it stays as it is until then
    try {
      const answer = await placed(
        this.#host,
        options,
        "fork the session",
        (ask) => this.#host.client.call("fork", { session: this.#id, ...ask }),
      );
      const fork = new Session(this.#host, answer.session, answer);
      fork.#conversation = this.#conversation;
      return fork;
    } catch (cause) {
      if (!this.#closed || this.#host.closed) throw cause;
      throw new SpecacheError("closed", "Cannot use the session: it is closed", { cause });
    } finally {
      this.#running = false;
    }
  }

  /**
   * Forgets all but the first `tokens` tokens, and where the last generation stopped: the next one
   * needs a prompt or ids.
   */
  async truncate(tokens: number): Promise<void> {
    this.#checkIdle();
    parse(tokenCount, { tokens }, "truncate");
    const { client } = this.#host;
    this.#hold(await client.call("truncate", { session: this.#id, tokens }));
  }

  /** Gives the session's memory back; closing twice is fine. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.#host.client.call("closeSession", { session: this.#id });
    } catch (error) {
      // An engine that was closed has given the session's memory back already.
      if (!(error instanceof SpecacheError && error.code === "closed")) throw error;
    }
  }

  /** As close(). */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #hold({ length, begun }: Omit<SessionAnswer, "session">): void {
    this.#length = length;
    this.#begun = begun;
  }

  #checkIdle(): void {
    this.#checkOpen();
    if (this.#running) throw new SpecacheError("busy", "Cannot use the session: it is at work");
  }

  #checkOpen(): void {
    if (this.#closed) throw new SpecacheError("closed", "Cannot use the session: it is closed");
  }
}

// A session that `ask` asks for. What is given up on its way back is closed: nobody takes it.
async function placed(
  host: SessionHost,
  options: SessionOptions,
  action: string,
  ask: (place: PlaceAsk) => Promise<SessionAnswer | null>,
): Promise<SessionAnswer> {
  const { client = "", signal } = parse(sessionOptions, options, action);
  const cancel = new Int32Array(new SharedArrayBuffer(4));
  const stop = () => {
    Atomics.store(cancel, 0, 1);
    host.client.call("gaveUp", null).catch(() => {}); // the answer tells
  };
  if (signal?.aborted) Atomics.store(cancel, 0, 1);
  signal?.addEventListener("abort", stop, { once: true });
  host.running.add(stop);
  try {
    const answer = await ask({ client, cancel });
    if (answer !== null && Atomics.load(cancel, 0) === 0) return answer;
    if (host.closed) throw new SpecacheError("closed", "Cannot use the engine: it is closed");
    if (answer !== null) await host.client.call("closeSession", answer);
    throw new SpecacheError("cancelled", `Cannot ${action}: the signal ended it`);
  } catch (error) {
    throw saying(action, error);
  } finally {
    host.running.delete(stop);
    signal?.removeEventListener("abort", stop);
  }
}

type Start = (
  session: number | null,
) => ReturnType<ConstructorParameters<typeof Generation>[0]["start"]>;

function generation(
  host: SessionHost,
  options: GenerateOptions,
  { ids, whole }: Prompt,
  run: (start: Start) => ReturnType<Start>,
): Generation {
  const callStyle = () => host.chat()?.callStyle ?? null;
  const request = settleRequest(options, host.settings, ACTION, callStyle);
  if (request.format !== null) checkEnds(host);
  const stops = [options.stop ?? []].flat();
  if (stops.length > 0) tokenizerOf(host, "stop strings never come");
  const ticket = ++host.tickets;
  const cancel = new Int32Array(new SharedArrayBuffer(4));
  let started = false;
  // A call that others share ends by itself soon, and is not made anew for them.
  const stop = () => {
    Atomics.store(cancel, 0, 1);
    host.client.call("gaveUp", null).catch(() => {}); // it may wait, again too; the answer tells
    host.grammars.gaveUp();
    if (started && host.started === 1) host.cancel();
  };
  const { signal, salt = "", client = "" } = options;
  if (signal?.aborted) Atomics.store(cancel, 0, 1);
  const { name, layers, kvHeads, queryHeads, headDim } = host.description;
  return new Generation({
    text: host.tokenizer.load?.stream() ?? null,
    stops,
    withLogprobs: request.logprobs > 0,
    loadMs: host.loadMs,
    device: host.device,
    model: { name, layers, kvHeads, queryHeads, headDim },
    progress: options.progress,
    cancel: stop,
    async start(event) {
      signal?.addEventListener("abort", stop, { once: true });
      host.running.add(stop);
      let held: HeldFormat | null = null;
      try {
        const cancelled = () => Atomics.load(cancel, 0) !== 0;
        const { format } = request;
        if (format !== null) held = await host.grammars.hold(format, client, cancelled);
        const grammar = held?.memory ?? null; // without it a cancelled one draws no token either
        const answer = await run((session) => {
          const judged = stops.length > 0;
          const whose = { ticket, session, salt, client };
          const ask = { ...whose, ids, whole: whole !== null, request, grammar, judged, cancel };
          return host.client.call("generate", ask, (told) => {
            if (told.kind === "started") {
              started = true;
              host.started++;
              if (Atomics.load(cancel, 0) === 1) stop(); // it was given up on its way here
            }
            const last = event(told);
            if (judged && told.kind === "token") {
              const verdict = { ticket, stop: last };
              host.client.call("verdict", verdict).catch(() => {}); // the answer tells
            }
          });
        });
        if (!host.closed) return answer;
        throw new SpecacheError("closed", "Cannot use the engine: it is closed");
      } finally {
        held?.release();
        host.running.delete(stop);
        if (started) host.started--;
        signal?.removeEventListener("abort", stop);
      }
    },
  });
}

// A text that is held to a format ends where the model may end it.
function checkEnds(host: SessionHost): void {
  tokenizerOf(host, "no text can be held to a format");
  if (host.description.eos.length > 0) return;
  throw new SpecacheError(
    "unsupported",
    `Cannot ${ACTION}: model ${host.description.name} has no end token, so no text can be held ` +
      "to a format",
    { details: { name: "format" } },
  );
}

// What reads the prompt is what generates, and says so in its errors.
function ofAppend(error: unknown): unknown {
  return saying("append", error, (message) => message.replace("maxTokens 0", "nothing more"));
}

function saying(
  action: string,
  error: unknown,
  more: (message: string) => string = (message) => message,
): unknown {
  if (!(error instanceof SpecacheError)) return error;
  const message = more(error.message.replace(/^Cannot generate: /, `Cannot ${action}: `));
  if (message === error.message) return error;
  return new SpecacheError(error.code, message, { cause: error, details: error.details });
}
