// engine.ts - a model and its cache; native calls run on a worker, so the event loop stays free.
import { ensureLibrary } from "../ffi/ensure.ts";
import { libraryFor, sharedLibrary } from "../ffi/library.ts";
import { modelPath } from "../pull/path.ts";
import { WorkerClient } from "./client.ts";
import { type EngineOptions, engineOptions, tokenCount } from "./config.ts";
import {
  conversationOptions,
  type GenerateOptions,
  type SessionOptions,
} from "./config_generate.ts";
import type { Message, Tool } from "./conversation.ts";
import type { EngineStats } from "./engine_stats.ts";
import { GrammarThreads } from "./constrain/grammar_threads.ts";
import { SpecacheError } from "./errors.ts";
import type { Generation } from "./generation.ts";
import { type Observation, type ObserveOptions, observeOptions } from "./observation.ts";
import { observationOf } from "./observed.ts";
import {
  checkLength,
  describeModel,
  type ModelDescription,
  type ModelShape,
} from "./model/describe.ts";
import type { Tokenizer } from "./model/tokenizer.ts";
import { parse } from "./parse.ts";
import { type CachePlan, planCache } from "./plan.ts";
import type { Profile } from "./profile.ts";
import { profileFor, usesProfile } from "./profile_auto.ts";
import { conversationText, type PromptHost, promptHost } from "./prompt.ts";
import { Session, type SessionHost } from "./session.ts";
import { type ProfileParts, type Settings, settle } from "./settings.ts";

const ACTION = "open an engine";

/**
 * A model ready to generate.
 *
 * @example
 * ```ts
 * import { Engine } from "@specache/specache";
 *
 * await using engine = await Engine.open({ model: "models/needle", contextTokens: 512 });
 * for await (const piece of engine.generate({ prompt: "The code of", maxTokens: 4 })) {
 *   console.log(piece.text);
 * }
 * ```
 */
export class Engine implements AsyncDisposable {
  readonly #host: SessionHost;
  readonly #profile: Profile | null;
  #closed = false;

  private constructor(host: SessionHost, profile: Profile | null) {
    this.#host = host;
    this.#profile = profile;
  }

  /**
   * Opens a model: reads its headers, reserves all memory, maps its weights. Builds the native
   * library where none is built yet, with device cuda where that is asked for, and says so on
   * standard error unless there is a `notice`.
   *
   * @throws {SpecacheError} argument, file, unsupported, capacity, data; device: no library can be
   * built or loaded
   */
  static async open(options: EngineOptions): Promise<Engine> {
    const given = parse(engineOptions, options, ACTION);
    const asked = { ...given, model: modelPath(given.model) };
    const started = performance.now();
    const description = describeModel(asked.model);
    // Refuses before anything takes long.
    const { device } = settingsOf(asked, description, expectedParts(asked));
    const prompts = promptHost(asked, description);
    await ensureLibrary({ device, notice: asked.notice });
    const library = sharedLibrary(libraryFor(device));
    const client = new WorkerClient();
    try {
      const profile = await profileOf(asked, description, client, library.path);
      const settings = settingsOf(asked, description, partsOf(profile));
      const opened = await client.call("open", {
        ...{ settings, description, profile },
        library: library.path,
      });
      return new Engine({
        client,
        settings,
        ...prompts,
        loadMs: performance.now() - started,
        device: { name: opened.device, isa: opened.isa, threads: opened.threads },
        cancel: () => library.symbols.specache_cancel(opened.store),
        grammars: grammarsOf(prompts),
        running: new Set(),
        tickets: 0,
        started: 0,
        closed: false,
      }, profile);
    } catch (error) {
      await client.call("close", null).catch(() => {}); // `error` says why
      client.end(new SpecacheError("closed", "Cannot use the engine: it did not open"));
      throw error;
    }
  }

  /** The model's sizes. */
  get model(): ModelShape {
    return this.#host.description;
  }

  /** Longest sequence in tokens: a prompt and its answer. */
  get contextTokens(): number {
    return this.#host.settings.tokensMax;
  }

  /** Text to ids and back; null where the model has no tokenizer that is supported. */
  get tokenizer(): Tokenizer | null {
    return this.#host.tokenizer.load;
  }

  /** A token's own text; empty where it has none, and where the model has no tokenizer. */
  tokenText(id: number): string {
    return this.tokenizer?.decode([id]) ?? "";
  }

  /**
   * A new, empty session: one text that grows over several generations. Where requests have all
   * places, it waits for its turn among them.
   *
   * @throws {SpecacheError} argument, closed; capacity: sessions have all places; busy: as many
   * wait as may; cancelled: the signal ended it
   */
  async session(options: SessionOptions = {}): Promise<Session> {
    this.#checkOpen();
    return await Session.open(this.#host, options);
  }

  /**
   * Generates from a prompt in a text of its own. Where as many run as may, it waits for its turn.
   *
   * @throws {SpecacheError} argument; others reach whoever iterates or awaits the result
   */
  generate(options: GenerateOptions): Generation {
    this.#checkOpen();
    return Session.once(this.#host, options);
  }

  /**
   * The text that messages become for the model, up to where it answers.
   *
   * @throws {SpecacheError} argument: its chat template refuses them; unsupported: it has none, or
   * one that knows no tools
   */
  conversation(messages: readonly Message[], tools?: readonly Tool[]): string {
    parse(conversationOptions, { messages, tools }, "write a conversation");
    return conversationText(this.#host, messages, true, tools);
  }

  /** Bytes of the cache, part by part, for a sequence of `tokens` (contextTokens if left out). */
  plan(tokens: number = this.#host.settings.tokensMax): CachePlan {
    const { settings, description } = this.#host;
    parse(tokenCount, { tokens }, "plan a cache");
    return planCache(settings, description, this.#profile, tokens);
  }

  /** What all sessions hold, and what requests have done since the engine was opened. */
  async stats(): Promise<EngineStats> {
    this.#checkOpen();
    const { client, settings } = this.#host;
    const counters = await client.call("engineStats", null);
    const { reservedBytes, farBytes } = this.plan();
    const { started } = this.#host;
    const sessionsMax = settings.sequences;
    return { ...counters, sessionsMax, running: started, reservedBytes, farBytes };
  }

  /**
   * What it does now: the last turns, the requests that run, and the text of one of them with what
   * its steps read. Ask again within 5 seconds to see what comes: while nobody asks, nothing is
   * watched, and it costs nothing.
   *
   * @throws {SpecacheError} argument, closed
   */
  async observe(options: ObserveOptions = {}): Promise<Observation> {
    this.#checkOpen();
    const { salt = "", ...asked } = parse(observeOptions, options, "observe an engine");
    const answer = await this.#host.client.call("observe", { ...asked, salt });
    return observationOf(answer, this.tokenizer);
  }

  /** Ends what runs and gives all memory back; closing twice is fine. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#host.closed = true;
    for (const stop of this.#host.running) stop();
    const { client } = this.#host;
    this.#host.cancel();
    try {
      await client.call("close", null);
    } finally {
      this.#host.grammars.close();
      client.end(new SpecacheError("closed", "Cannot use the engine: it is closed"));
    }
  }

  /** As close(). */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw new SpecacheError("closed", "Cannot use the engine: it is closed");
  }
}

// What formats need; without one nothing is done.
function grammarsOf(
  { tokenizer, description }: PromptHost & { readonly description: ModelDescription },
): GrammarThreads {
  const tokens: string[] = []; // (vocabulary) bytes of each, once they are needed
  return new GrammarThreads(() => {
    while (tokens.length < description.vocabulary) {
      tokens.push(tokenizer.load!.bytes(tokens.length));
    }
    return { tokens, eos: description.eos };
  });
}

function expectedParts(asked: EngineOptions): ProfileParts | null {
  const { profile = "auto" } = asked;
  if (profile === "none" || profile === "auto" && !usesProfile(asked)) return null;
  return { keys: true, values: true };
}

function partsOf(profile: Profile | null): ProfileParts | null {
  return profile && { keys: profile.keyBits !== null, values: profile.valueBasis !== null };
}

function profileOf(
  asked: EngineOptions,
  description: ModelDescription,
  client: WorkerClient,
  library: string,
): Promise<Profile | null> {
  const { model, profile, threads = 0 } = asked;
  return profileFor({
    ...{ model, description, profile },
    useful: usesProfile(asked),
    notice: asked.notice ?? (() => {}),
    measure: (ids, limitMs) =>
      client.call("measure", { description, ids, threads, limitMs, library }),
  });
}

function settingsOf(
  asked: EngineOptions,
  description: ModelDescription,
  profile: ProfileParts | null,
): Settings {
  const tokensMax = asked.contextTokens ?? description.tokensMax;
  checkLength(tokensMax, description, ACTION);
  return settle(asked, tokensMax, profile, ACTION);
}
