/**
 * An engine that runs elsewhere: servers of specache, asked over HTTP. `createApp(engine)` of it is
 * a front for them that needs no library, so it runs at an edge.
 *
 * @module
 */
import { z } from "zod";
import type { GenerateOptions } from "../engine/config_generate.ts";
import { generateOptions } from "../engine/config_generate.ts";
import type { EngineStats } from "../engine/engine_stats.ts";
import { SpecacheError } from "../engine/errors.ts";
import { parse } from "../engine/parse.ts";
import type { CachePlan } from "../engine/plan.ts";
import type { ServedEngine, ServedGeneration, ServedSession } from "../routes/engine.ts";
import { type GenerationParts, RemoteGeneration } from "./generation.ts";
import type { HostFacts } from "./host.ts";
import { Hosts } from "./hosts.ts";
import { type HostOptions, type RemoteEngineOptions, remoteEngineOptions } from "./options.ts";
import { pass } from "./pass.ts";
import { watched } from "./pulse.ts";
import { Sealer } from "./sealed.ts";
import { postOf, RemoteSession, sessionTold } from "./session.ts";

export type { HostOptions, RemoteEngineOptions } from "./options.ts";

const ACTION = "open the hosts";
const anyPlan: z.ZodType<CachePlan> = z.custom<CachePlan>((value) => value instanceof Object);
const TEXTS_MAX = 1 << 18; // token texts that are kept: a vocabulary's

/**
 * A model that servers of specache run.
 *
 * @example
 * ```ts
 * import { createApp } from "@specache/specache/app";
 * import { RemoteEngine } from "@specache/specache/edge";
 *
 * const hosts = [{ url: "https://gpu-1.example", key: "a" }, { url: "https://gpu-2.example" }];
 * const engine = await RemoteEngine.open({ hosts, model: "needle", contextTokens: 1024 });
 * const app = createApp(engine, { keys: ["secret"] });
 * console.log((await app.fetch(new Request("http://localhost/health"))).status); // 200
 * ```
 */
export class RemoteEngine implements ServedEngine {
  /** The model, as the hosts call it. */
  readonly model: { readonly name: string };
  /** Longest sequence in tokens that all hosts take. */
  readonly contextTokens: number;
  /** Hosts may have other fronts and clients. */
  readonly shared = true;
  readonly #hosts: Hosts;
  readonly #sealer: Sealer;
  readonly #parts: Pick<GenerationParts, "silenceMs" | "learn">;
  readonly #texts = new Map<number, string>();

  private constructor(
    hosts: Hosts,
    { silenceMs, secret }: { readonly silenceMs: number; readonly secret: string },
    { model, contextTokens }: Pick<HostFacts, "model" | "contextTokens">,
  ) {
    this.model = { name: model.name };
    this.contextTokens = contextTokens;
    this.#hosts = hosts;
    this.#sealer = new Sealer(secret);
    this.#parts = { silenceMs, learn: (id, text) => this.#learn(id, text) };
  }

  /**
   * Knows the hosts. They are asked for what the options do not tell; where these tell the model
   * and its context, for nothing.
   *
   * @throws {SpecacheError} argument: also hosts that serve different models
   * @throws {RequestError} 503: no host can be reached
   */
  static async open(options: RemoteEngineOptions): Promise<RemoteEngine> {
    const asked = parse(remoteEngineOptions, options, ACTION);
    const { ageMs = 5000, probeMs = 2000, silenceMs = 5000, report = () => {} } = asked;
    const secret = asked.secret ?? secretOf(asked.hosts);
    const known = { ...{ hosts: asked.hosts, ageMs, probeMs, report } };
    const told = await toldOf(asked, () => new Hosts({ ...known, model: null }).facts());
    const hosts = new Hosts({ ...known, model: told.model.name });
    return new RemoteEngine(hosts, { silenceMs, secret }, told);
  }

  /**
   * Generates on one of the hosts.
   *
   * @throws {SpecacheError} argument; others reach whoever iterates or awaits the result
   */
  generate(options: GenerateOptions): ServedGeneration {
    parse(generateOptions, options, "generate");
    return new RemoteGeneration({
      ...this.#parts,
      path: "/v1/generate",
      place: (key, attempt) => this.#hosts.place(key, attempt),
    }, options);
  }

  /** A new, empty session on the host that has least to do; it stays there. */
  async session(): Promise<ServedSession & AsyncDisposable> {
    return await this.#hosts.place(null, async (host) => {
      return await watched(host, this.#parts.silenceMs, async (signal) => {
        const response = await host.ask("/v1/sessions", { ...postOf({}), signal });
        const told = await host.json(response, sessionTold, signal);
        return new RemoteSession(host, this.#parts, told);
      });
    });
  }

  /** Bytes of the cache on a host for a sequence of `tokens` (contextTokens if left out). */
  async plan(tokens: number = this.contextTokens): Promise<CachePlan> {
    return await this.#hosts.place(null, async (host) => {
      return await host.tell(`/v1/plan?tokens=${encodeURIComponent(tokens)}`, anyPlan);
    });
  }

  /**
   * What the hosts hold and have done, added up over those that are there: what all of them tell
   * their key, which is no more than how many requests run and wait where it is no operator's.
   */
  async stats(): Promise<EngineStats> {
    const facts = await this.#hosts.facts();
    return facts.map(({ model: _, contextTokens: __, ...stats }) => stats)
      .reduce(added);
  }

  /**
   * A token's own text, known once a host has named the token in logprobs; else "".
   */
  tokenText(id: number): string {
    return this.#texts.get(id) ?? "";
  }

  /**
   * Settles where at least one host takes requests.
   *
   * @throws {RequestError} 503: none does
   */
  async ready(): Promise<void> {
    await this.#hosts.ready();
  }

  /** Answers requests below /v1/sessions and /v1/stores by the host that holds what they name. */
  async pass(request: Request, tenant: string): Promise<Response> {
    const { silenceMs } = this.#parts;
    return await pass({ hosts: this.#hosts, sealer: this.#sealer, silenceMs }, request, tenant);
  }

  /**
   * Asks the hosts every `everyMs` whether they are there, until it is disposed of. Without it they
   * are asked along with requests, for in some runtimes no timer outlives one.
   */
  watch(everyMs = 5000): Disposable {
    const timer = setInterval(() => void this.#hosts.facts().catch(() => {}), everyMs);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  #learn(id: number, text: string): void {
    if (this.#texts.size >= TEXTS_MAX) this.#texts.clear();
    this.#texts.set(id, text);
  }
}

// Whoever knows the keys can make it again, and with them alone: so copies of a front that have the
// same hosts and keys share it, and one without keys shares it with nobody.
function secretOf(hosts: readonly HostOptions[]): string {
  if (hosts.every(({ key }) => key === undefined)) return crypto.randomUUID();
  return JSON.stringify(hosts.map(({ url, key }) => [url, key ?? null]));
}

async function toldOf(
  { model, contextTokens }: RemoteEngineOptions,
  ask: () => Promise<readonly HostFacts[]>,
): Promise<Pick<HostFacts, "model" | "contextTokens">> {
  if (model !== undefined && contextTokens !== undefined) {
    return { model: { name: model }, contextTokens };
  }
  const facts = await ask();
  const name = model ?? facts[0].model.name;
  const other = facts.find((each) => each.model.name !== name);
  if (other !== undefined) {
    const sentence = `Cannot ${ACTION}: a host serves ${other.model.name}, which is not ${name}`;
    throw new SpecacheError("argument", sentence);
  }
  const least = Math.min(...facts.map((each) => each.contextTokens));
  return { model: { name }, contextTokens: contextTokens ?? least };
}

// What both have, each number the sum of both; of anything else the first one's.
function added<T>(a: T, b: T): T {
  if (typeof a === "number" && typeof b === "number") return a + b as T;
  if (typeof a !== "object" || a === null || typeof b !== "object" || b === null) return a;
  const both = Object.entries(a).filter(([name]) => Object.hasOwn(b, name));
  const entries = both.map(([name, value]) =>
    [name, added(value, (b as Record<string, unknown>)[name])] as const
  );
  return Object.fromEntries(entries) as T;
}
