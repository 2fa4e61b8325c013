// upload.ts - the body of a request on its way to a host. Where the client breaks off, the host is
// not to blame: to whoever sends, both look like a connection that failed.
import { SpecacheError } from "../engine/errors.ts";
import { leaving } from "../routes/leaving.ts";

/** The body of one request. */
export class Upload {
  /** As it comes; null: there is none. */
  readonly body: ReadableStream<Uint8Array> | null;
  /** Aborted when the client leaves, or breaks off its body. */
  readonly left: AbortSignal;
  /** That the client broke off; null: it did not. */
  fault: SpecacheError | null = null;

  /** Reads nothing until the body is read. */
  constructor({ body, signal }: Request) {
    const left = leaving(signal);
    this.left = left.signal;
    this.body = body && this.#watched(body, left);
  }

  #watched(
    body: ReadableStream<Uint8Array>,
    left: AbortController,
  ): ReadableStream<Uint8Array> {
    const reader = body.getReader();
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        try {
          const { value, done } = await reader.read();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (cause) {
          const sentence = "Cannot answer: the client has left";
          this.fault = new SpecacheError("cancelled", sentence, { cause });
          left.abort();
          controller.error(cause);
        }
      },
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
  }
}
