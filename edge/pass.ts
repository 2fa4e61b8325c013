// pass.ts - requests to what hosts hold open, sessions and raw stores: each goes as it is to the
// host that its sealed name tells, and the answer comes back as it is, but for names. So a front
// keeps nothing, and any copy of it can answer.
import { jsonOf } from "../routes/body.ts";
import { SpecacheError } from "../engine/errors.ts";
import { RequestError } from "../routes/errors.ts";
import type { Host } from "./host.ts";
import { HostError } from "./host_error.ts";
import type { Hosts } from "./hosts.ts";
import { Pulse } from "./pulse.ts";
import type { Sealer } from "./sealed.ts";
import { hashOf } from "./ring.ts";
import { here, postOf } from "./session.ts";

const CREATE_BYTES_MAX = 1 << 16; // options of a new session or store

// Headers of an answer that mean something to a client.
const PASSED = ["Content-Type", "Specache-Dtype", "Specache-Shape", "Retry-After"];

/** What it works with. */
export interface PassParts {
  readonly hosts: Hosts;
  readonly sealer: Sealer;
  readonly silenceMs: number;
}

// Of one request below /v1/sessions or /v1/stores.
interface Passing extends PassParts {
  readonly request: Request;
  readonly tenant: string;
  /** /v1/sessions or /v1/stores. */
  readonly root: string;
}

/**
 * Answers a request below /v1/sessions or /v1/stores.
 *
 * @throws {RequestError}
 */
export async function pass(
  parts: PassParts,
  request: Request,
  tenant: string,
): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  const [, root, name, rest = ""] = pathname.match(/^(\/v1\/\w+)(?:\/([^/]*)(.*))?$/) ?? [];
  if (root === undefined) { // escaped, as /v1/s%65ssions is: a host's path is never made of it
    const sentence = `Cannot answer: path ${pathname.slice(0, 100)} is not known`;
    throw new RequestError(404, "not_found", sentence);
  }
  const method = request.method === "HEAD" ? "GET" : request.method;
  const passing = { ...parts, request, tenant, root };
  try {
    if (name !== undefined) return await toHolder({ ...passing, method }, name, rest + search);
    if (method === "GET") return await list(passing);
    if (method === "POST") return await create(passing);
  } catch (cause) {
    if (!request.signal.aborted) throw cause;
    throw new SpecacheError("cancelled", "Cannot answer: the client has left", { cause });
  }
  throw notAllowed(request, root, "GET, HEAD, POST");
}

/** What stands for a host in sealed names, whatever its place in the list. */
export function tagOf({ url }: Host): string {
  return hashOf(url).toString(36);
}

async function create(passing: Passing): Promise<Response> {
  const { hosts, silenceMs, request, tenant, root } = passing;
  const post = postOf(await jsonOf(request, CREATE_BYTES_MAX));
  return await hosts.place(null, async (host) => {
    using pulse = new Pulse(host, silenceMs, request.signal);
    const { signal } = pulse;
    return await renamed(passing, host, await host.ask(root, { ...post, tenant, signal }));
  });
}

// Of all hosts that are there.
async function list(passing: Passing): Promise<Response> {
  const { hosts, sealer, silenceMs, request, tenant, root } = passing;
  const lists = await Promise.all(hosts.all.map(async (host) => {
    using pulse = new Pulse(host, silenceMs, request.signal);
    const { signal } = pulse;
    try {
      const { data } = await (await host.ask(root, { tenant, signal })).json();
      return await Promise.all((data as Named[]).map(async (each) => ({
        ...each,
        id: await sealer.seal({ host: tagOf(host), id: each.id }, tenant),
      })));
    } catch (error) {
      return error;
    }
  }));
  const known = lists.filter((each) => Array.isArray(each));
  if (known.length > 0) return Response.json({ data: known.flat() });
  throw lists.find((each) => each instanceof RequestError) ?? hosts.unreachable();
}

async function toHolder(
  passing: Passing & { readonly method: string },
  name: string,
  rest: string,
): Promise<Response> {
  const { hosts, sealer, silenceMs, request, method, tenant, root } = passing;
  if (method !== "GET" && method !== "POST" && method !== "DELETE") {
    throw notAllowed(request, root, "GET, HEAD, POST, DELETE");
  }
  const held = await sealer.open(name, tenant);
  const host = hosts.all.find((each) => tagOf(each) === held?.host);
  if (held === null || host === undefined) throw unknown(root, name);
  const pulse = new Pulse(host, silenceMs, request.signal);
  try {
    const type = request.headers.get("Content-Type");
    const path = `${root}/${held.id}${rest}`;
    const response = await here(() =>
      host.ask(path, {
        method,
        body: request.body,
        headers: type === null ? {} : { "Content-Type": type },
        tenant,
        signal: pulse.signal,
      })
    );
    return await renamed(passing, host, response, { name, id: held.id, pulse });
  } catch (error) {
    pulse[Symbol.dispose]();
    const { reason } = pulse.signal;
    if (reason instanceof HostError) return await here(() => Promise.reject(reason));
    throw error instanceof RequestError ? told(error, held.id, name) : error;
  }
}

interface Named {
  readonly id: string;
}

// A name that the client knows, of what it stands for, and who listens to the host.
interface Known extends Named {
  readonly name: string;
  readonly pulse: Pulse;
}

// An object of JSON has the host's own name in it; streams and numbers have none.
async function renamed(
  { sealer, tenant, root }: Passing,
  host: Host,
  response: Response,
  known?: Known,
): Promise<Response> {
  const headers = new Headers();
  for (const name of PASSED) {
    const value = response.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  const { status } = response;
  const type = headers.get("Content-Type") ?? "";
  if (!type.startsWith("application/json")) {
    const body = response.body && listened(response.body, known?.pulse);
    return new Response(body, { status, headers });
  }
  const body = await response.json();
  known?.pulse[Symbol.dispose]();
  if (typeof body.id === "string") {
    const { id } = body;
    const isKnown = known !== undefined && known.id === id;
    body.id = isKnown ? known.name : await sealer.seal({ host: tagOf(host), id }, tenant);
    if (status === 201) headers.set("Location", `${root}/${body.id}`);
  }
  return new Response(JSON.stringify(body), { status, headers });
}

// Bytes as they are read; the host is listened to while they are waited for.
function listened(body: ReadableStream<Uint8Array>, pulse?: Pulse): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  const end = () => pulse?.[Symbol.dispose]();
  return new ReadableStream({
    async pull(controller) {
      pulse?.heard();
      try {
        const { value, done } = await reader.read();
        pulse?.paused();
        if (!done) return controller.enqueue(value);
        controller.close();
      } catch (error) {
        controller.error(error);
      }
      end();
    },
    async cancel() {
      await reader.cancel();
      end();
    },
  }, { highWaterMark: 0 });
}

function told(error: RequestError, id: string, name: string): RequestError {
  const { status, code, message, param, headers } = error;
  return new RequestError(status, code, message.replaceAll(id, name), param, headers);
}

function unknown(root: string, name: string): RequestError {
  const what = root.endsWith("stores") ? "store" : "session";
  const sentence = `Cannot answer: ${what} ${name.slice(0, 60)} is not known`;
  return new RequestError(404, `${what}_not_found`, sentence, "id");
}

function notAllowed({ method }: Request, path: string, allow: string): RequestError {
  const sentence = `Cannot answer: method ${method} of ${path} is not one of ${allow}`;
  return new RequestError(405, "method_not_allowed", sentence, null, { Allow: allow });
}
