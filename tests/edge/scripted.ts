// scripted.ts - a host that says what the test tells it to, over a real socket.
import { listen, type Listening } from "../../cli/listen.ts";
import { RemoteEngine } from "../../edge/remote.ts";
import type { RemoteEngineOptions } from "../../edge/remote.ts";

/** A request as a host gets it. */
export interface Heard {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  readonly body: string;
  /** Aborted when who asks leaves. */
  readonly signal: AbortSignal;
}

type Answer = (heard: Heard) => Response | Promise<Response>;

/** What a generation comes to where the test does not care. */
export const RESULT = { text: "hello", tokens: [104], stop: "eos", usage: {}, cache: {} };

/** A host. */
export class Scripted implements AsyncDisposable {
  /** Requests so far, but for those of /v1/stats. */
  readonly heard: Heard[] = [];
  /** Requests of /v1/stats so far. */
  probes = 0;
  /** Headers of the last of these. */
  probed = new Headers();
  /** What it says runs there. */
  running = 0;
  /** Requests that wait at it, where it tells of them. */
  waiting: number | undefined;
  /** The model that it says it serves. */
  model = "fake";
  readonly #server: Listening;

  private constructor(server: Listening) {
    this.#server = server;
  }

  /** Listens; `answer` is asked for all but /v1/stats. */
  static async start(answer: Answer = () => events([{ result: RESULT }])): Promise<Scripted> {
    let host: Scripted | null = null;
    const fetch = async (request: Request) => {
      const { pathname, search } = new URL(request.url);
      const { method, headers, signal } = request;
      if (pathname === "/v1/stats" && host!.answersProbes) return host!.#stats(headers);
      const body = await request.text();
      const heard = { method, path: pathname + search, headers, body, signal };
      host!.heard.push(heard);
      return await answer(heard);
    };
    host = new Scripted(await listen(fetch, { hostname: "127.0.0.1", port: 0 }));
    return host;
  }

  /** Whether /v1/stats is answered. */
  answersProbes = true;

  get url(): string {
    return this.#server.url;
  }

  #stats(headers: Headers): Response {
    this.probes++;
    this.probed = headers;
    const { running, waiting, model } = this;
    const counts = { running, waiting, requests: { ended: 2 } };
    return Response.json({ model: { name: model }, contextTokens: 1000, ...counts });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.end();
  }
}

/** Server-sent events with these data; `ends` false: the connection stays open. */
export function events(data: readonly object[], ends = true): Response {
  const text = data.map((each) => `data: ${JSON.stringify(each)}\n\n`).join("");
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(text));
      if (ends) controller.close();
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

/** An error as hosts tell it. */
export function refusal(status: number, code: string, headers: Record<string, string> = {}) {
  const type = status < 500 ? "invalid_request_error" : "server_error";
  const error = { message: `Cannot answer: ${code}`, type, param: null, code };
  return Response.json({ error }, { status, headers });
}

/** An engine over these hosts. */
export async function over(
  hosts: readonly { readonly url: string }[],
  options: Partial<RemoteEngineOptions> = {},
): Promise<RemoteEngine> {
  const known = { model: "fake", contextTokens: 1000 };
  return await RemoteEngine.open({
    ...known,
    hosts: hosts.map(({ url }) => ({ url, key: "host-key" })),
    ...options,
  });
}

/** An address where nobody listens. */
export const NOWHERE = { url: "http://127.0.0.1:9" };
