// ask.ts - asks an application, without a port.
import { type App, type AppOptions, createApp } from "../../routes/app.ts";
import { assertEquals, assertMatch } from "../harness.ts";
import { FakeEngine, type FakeOptions, post } from "./fake.ts";

/** An answer that was read. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // deno-lint-ignore no-explicit-any -- tests read whatever an answer holds
  readonly body: any;
}

/** Asks one application, with one key if any. */
export class Asker {
  constructor(readonly app: App, readonly key?: string) {}

  /** The same application, with another key. */
  as(key: string): Asker {
    return new Asker(this.app, key);
  }

  get(path: string): Promise<Answer> {
    return this.send(new Request(`http://localhost${path}`));
  }

  delete(path: string): Promise<Answer> {
    return this.send(new Request(`http://localhost${path}`, { method: "DELETE" }));
  }

  post(path: string, body: unknown = {}, signal?: AbortSignal): Promise<Answer> {
    return this.send(post(path, body, { signal }));
  }

  /** The bytes of a body of numbers. */
  async bytes(path: string, body: Uint8Array<ArrayBuffer>): Promise<Answer> {
    const headers = { "Content-Type": "application/octet-stream" };
    return await this.send(
      new Request(`http://localhost${path}`, { method: "POST", headers, body }),
    );
  }

  async send(request: Request): Promise<Answer> {
    if (this.key !== undefined) request.headers.set("Authorization", `Bearer ${this.key}`);
    const { app } = this;
    const response = await app.fetch(request);
    const { status, headers } = response;
    const type = headers.get("Content-Type") ?? "";
    const body = type.startsWith("application/json")
      ? await response.json()
      : type.startsWith("application/octet-stream")
      ? new Uint8Array(await response.arrayBuffer())
      : await response.text();
    return { status, headers, body };
  }
}

/** An application of a fake engine; `close` closes what it holds open. */
export function asking(
  options: AppOptions = {},
  fake: FakeOptions = {},
): Asker & { readonly engine: FakeEngine; readonly reported: unknown[]; close(): void } {
  const engine = new FakeEngine(fake);
  const closing = new AbortController();
  const reported: unknown[] = [];
  const report = (error: unknown) => void reported.push(error);
  const app = createApp(engine, { closing: closing.signal, report, ...options });
  return Object.assign(new Asker(app), { engine, reported, close: () => closing.abort() });
}

/** Asserts that an answer refuses with a status and a code, in the one shape, by this sentence. */
export function assertRefused(answer: Answer, status: number, code: string, sentence?: RegExp) {
  assertEquals([answer.status, answer.body?.error?.code], [status, code], show(answer));
  assertEquals(Object.keys(answer.body), ["error"]);
  assertEquals(Object.keys(answer.body.error).sort(), ["code", "message", "param", "type"]);
  const type = status < 500 ? "invalid_request_error" : "server_error";
  assertEquals(answer.body.error.type, type);
  assertMatch(answer.body.error.message, /^Cannot [^\n]+[^\n.]$/);
  if (sentence !== undefined) assertMatch(answer.body.error.message, sentence);
}

function show({ body }: Answer): string {
  return JSON.stringify(body)?.slice(0, 300);
}
