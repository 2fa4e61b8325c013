// hosts.ts - which host a request goes to, and which one next where the first does not take it.
import { RequestError } from "../routes/errors.ts";
import { Host, type HostFacts, type HostRules } from "./host.ts";
import { HostError } from "./host_error.ts";
import type { HostOptions } from "./options.ts";
import { Ring } from "./ring.ts";

/** A host with more than this times the mean of requests is passed over. */
export const LOAD_BOUND = 1.25;

/** Hosts that refuse a request as full or closing before the refusal is told. */
export const REFUSALS_MAX = 3;

/** Milliseconds for which it holds whether a host is ready. */
export const READY_MS = 1000;

// Hosts that one request asks how they are: some runtimes allow it few connections at a time.
const REFRESHED_MAX = 2;

/** What a list of hosts is made of. */
export interface HostsOptions extends HostRules {
  readonly hosts: readonly HostOptions[];
  readonly report: (error: unknown) => void;
}

/** All hosts of an engine. */
export class Hosts {
  readonly all: readonly Host[];
  readonly #ring: Ring;
  readonly #report: (error: unknown) => void;
  #turn = 0;
  // Plain data: in some runtimes no request may wait for what another one began.
  #readyAt = -Infinity;
  #isReady = true;

  /** Nothing is asked. */
  constructor({ hosts, report, ...rules }: HostsOptions) {
    this.all = hosts.map((host, index) => new Host(host, index, rules));
    this.#ring = new Ring(this.all.map(({ url }) => url));
    this.#report = report;
  }

  /**
   * Gives `attempt` one host after another until one takes the request. Requests of one `key` go
   * to one host while its load allows; null: to the one that has least to do.
   *
   * @throws {RequestError} the first of {@linkcode REFUSALS_MAX} refusals; 503: none can be reached
   */
  async place<R>(key: number | null, attempt: (host: Host) => Promise<R>): Promise<R> {
    this.#refresh();
    const left = new Set(this.all);
    const refusals: RequestError[] = [];
    while (left.size > 0 && refusals.length < REFUSALS_MAX) {
      const host = this.#next(key, [...left]);
      left.delete(host);
      const end = host.begin();
      try {
        return await attempt(host);
      } catch (error) {
        if (!(error instanceof HostError)) throw error;
        this.#report(error);
        if (error.refusal !== null) refusals.push(error.refusal);
      } finally {
        end();
      }
    }
    throw refusals[0] ?? this.unreachable();
  }

  #refresh(): void {
    const old = this.all.filter((host) => host.isOld).sort((a, b) => a.askedAt - b.askedAt);
    for (const host of old.slice(0, REFRESHED_MAX)) host.probe().catch(this.#report);
  }

  // Of the hosts that are left: those that seem to be there, else any, for one may be back.
  #next(key: number | null, left: readonly Host[]): Host {
    const usable = left.filter((host) => host.usable);
    const hosts = usable.length > 0 ? usable : left;
    if (key === null) return this.#leastLoaded(hosts);
    const load = hosts.reduce((sum, host) => sum + host.load, 1); // with this request
    const bound = Math.ceil(LOAD_BOUND * load / hosts.length);
    const order = this.#ring.from(key).map((index) => this.all[index]);
    const found = order.find((host) => hosts.includes(host) && host.load < bound);
    return found ?? this.#leastLoaded(hosts);
  }

  // Equals take turns.
  #leastLoaded(hosts: readonly Host[]): Host {
    const first = this.#turn++ % hosts.length;
    const order = [...hosts.slice(first), ...hosts.slice(0, first)];
    return order.reduce((least, host) => host.load < least.load ? host : least);
  }

  /**
   * What all hosts that are there tell of themselves.
   *
   * @throws {RequestError} 503: none can be reached
   */
  async facts(): Promise<HostFacts[]> {
    const told = await Promise.all(this.all.map(async (host) => {
      try {
        return await host.probe();
      } catch (error) {
        this.#report(error);
        return null;
      }
    }));
    const facts = told.filter((each) => each !== null);
    if (facts.length === 0) throw this.unreachable();
    return facts;
  }

  /**
   * Whether at least one takes requests, as of {@linkcode READY_MS} ago at most. While that is
   * asked for, others are told what held before.
   *
   * @throws {RequestError} 503: none does
   */
  async ready(): Promise<void> {
    if (Date.now() >= this.#readyAt + READY_MS) {
      this.#readyAt = Date.now();
      try {
        await Promise.any(this.all.map((host) => host.ready()));
        this.#isReady = true;
      } catch (error) {
        for (const each of (error as AggregateError).errors) this.#report(each);
        this.#isReady = false;
      }
    }
    if (!this.#isReady) throw this.unreachable();
  }

  /** What is answered where no host can be reached. */
  unreachable(): RequestError {
    const sentence = `Cannot answer: none of ${this.all.length} hosts can be reached`;
    return new RequestError(503, "no_host", sentence, null, { "Retry-After": "1" });
  }
}
