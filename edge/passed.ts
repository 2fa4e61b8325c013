// passed.ts - answers of a host that a client reads at its own pace: no more is read of the host
// than is asked for, and it is listened to while it is waited for.
import { bodyOf } from "../routes/errors.ts";
import { gone } from "./host_error.ts";
import type { Pulse } from "./pulse.ts";

type Bytes = Uint8Array<ArrayBuffer>;

// What becomes of the bytes that are read.
interface Passing {
  /** Of bytes that came; empty: more are needed. */
  some(bytes: Bytes): Bytes;
  /** Of the end, in order or by a fault; null: nothing can be said, the answer breaks off. */
  end(fault: unknown): Bytes | null;
}

/** Bytes as they are. Where the host breaks off, so do they. */
export function passedBytes(body: ReadableStream<Bytes>, pulse?: Pulse): ReadableStream<Bytes> {
  const none = new Uint8Array();
  return passed(body, pulse, {
    some: (bytes) => bytes,
    end: (fault) => fault === null ? none : null,
  });
}

/**
 * Events of a generation, whole ones alone. Where the host breaks off before the result, the last
 * one tells so.
 */
export function passedEvents(body: ReadableStream<Bytes>, pulse?: Pulse): ReadableStream<Bytes> {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  let rest = ""; // of an event that has not ended
  let ended = false; // the last one was its host's last
  return passed(body, pulse, {
    some(bytes) {
      rest += decoder.decode(bytes, { stream: true });
      const end = rest.lastIndexOf(GAP);
      if (end < 0) return new Uint8Array();
      const whole = rest.slice(0, end);
      rest = rest.slice(end + GAP.length);
      ended = LAST.test(whole.split(GAP).at(-1)!);
      return encoder.encode(whole + GAP);
    },
    end(fault) {
      if (ended) return new Uint8Array();
      return encoder.encode(`data: ${JSON.stringify(bodyOf(gone(fault)))}${GAP}`);
    },
  });
}

const GAP = "\n\n"; // between events
const LAST = /^data: \{"(result|error)"/;

function passed(
  body: ReadableStream<Bytes>,
  pulse: Pulse | undefined,
  { some, end }: Passing,
): ReadableStream<Bytes> {
  const reader = body.getReader();
  const over = () => pulse?.[Symbol.dispose]();
  return new ReadableStream<Bytes>({
    async pull(controller) {
      pulse?.heard();
      let fault: unknown = null;
      try {
        while (true) {
          const { value, done } = await reader.read();
          if (done) break;
          const bytes = some(value);
          if (bytes.length === 0) continue;
          pulse?.paused();
          return controller.enqueue(bytes);
        }
      } catch (cause) {
        fault = cause ?? new Error("it broke off");
      }
      over();
      const last = end(fault);
      if (last === null) return controller.error(fault);
      if (last.length > 0) controller.enqueue(last);
      controller.close();
    },
    async cancel() {
      await reader.cancel();
      over();
    },
  }, { highWaterMark: 0 });
}
