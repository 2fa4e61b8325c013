// cutting.ts - a host whose answers end at any byte, over a real socket.
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** An answer that may be cut. */
export interface Cut {
  readonly status?: number;
  readonly type: string;
  readonly bytes: Uint8Array;
}

/** A host; /v1/stats it answers whole. */
export class Cutting implements AsyncDisposable {
  /** Bytes of each answer that are sent. */
  bytes = Infinity;
  /** Answers so far. */
  answers = 0;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Listens; after the bytes the connection breaks, or else the answer ends as a whole one. */
  static async start(answer: (method: string) => Cut, breaks: boolean): Promise<Cutting> {
    const server = createServer();
    const host = new Cutting(server);
    server.on("request", (request, response) => {
      request.resume();
      request.on("end", () => {
        if (request.url === "/v1/stats") {
          response.setHeader("Content-Type", "application/json");
          const model = { name: "fake" };
          return response.end(JSON.stringify({ model, contextTokens: 1000, running: 0 }));
        }
        host.answers++;
        const { status = 200, type, bytes } = answer(request.method!);
        response.writeHead(status, { "Content-Type": type });
        response.write(bytes.subarray(0, host.bytes), () => {
          if (breaks && host.bytes < bytes.length) response.socket?.destroy();
          else response.end();
        });
      });
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    return host;
  }

  /** Its address. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((answer) => this.#server.close(answer));
  }
}
