// pulse.ts - tells a host that computes in silence from one that is gone: a long prompt may take
// minutes in which nothing is sent, a machine that lost its power sends nothing either.
import type { Host } from "./host.ts";
import { HostError } from "./host_error.ts";

/** Watches one request of a host while it is silent. */
export class Pulse implements Disposable {
  /** Aborted when the host is gone, or the client. */
  readonly signal: AbortSignal;
  readonly #silenceMs: number;
  readonly #host: Host;
  readonly #aborter = new AbortController();
  readonly #left: AbortSignal | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Begins to listen; `left` is aborted when the client leaves. */
  constructor(host: Host, silenceMs: number, left?: AbortSignal) {
    this.#host = host;
    this.#silenceMs = silenceMs;
    this.#left = left;
    this.signal = this.#aborter.signal;
    left?.addEventListener("abort", this.#leave);
    if (left?.aborted) this.#leave();
    this.heard();
  }

  /** The host has sent something, or is waited for from now on. */
  heard(): void {
    this.paused();
    this.#timer = setTimeout(() => void this.#probe(), this.#silenceMs);
  }

  /** The host is not listened to until heard() is called. */
  paused(): void {
    clearTimeout(this.#timer);
  }

  /** Ends the request if it has not ended, and listens no longer. */
  [Symbol.dispose](): void {
    this.paused();
    this.#left?.removeEventListener("abort", this.#leave);
    this.#aborter.abort();
  }

  readonly #leave = () => this.#aborter.abort();

  async #probe(): Promise<void> {
    const { signal } = this;
    const timer = this.#timer;
    try {
      await this.#host.probe();
      if (!signal.aborted && this.#timer === timer) this.heard();
    } catch (error) {
      if (this.#timer === timer) this.#aborter.abort(error);
    }
  }
}

/**
 * Runs `body` with a signal that is aborted when the host is gone, or with `left`.
 *
 * @throws {HostError} it was silent, and is gone
 */
export async function watched<R>(
  host: Host,
  silenceMs: number,
  body: (signal: AbortSignal) => Promise<R>,
  left?: AbortSignal,
): Promise<R> {
  using pulse = new Pulse(host, silenceMs, left);
  try {
    return await body(pulse.signal);
  } catch (cause) {
    const { reason } = pulse.signal;
    throw reason instanceof HostError ? reason : cause;
  }
}
