// pass.ts - requests to what hosts hold open, sessions and raw stores: each goes as it is to the
// host that its sealed name tells, and the answer comes back as it is, but for names. So a front
// keeps nothing, and any copy of it can answer.
import { z } from "zod";
import { SpecacheError } from "../engine/errors.ts";
import { jsonOf } from "../routes/body.ts";
import { RequestError } from "../routes/errors.ts";
import type { Host } from "./host.ts";
import { HostError, toldOf } from "./host_error.ts";
import type { Hosts } from "./hosts.ts";
import { passedBytes, passedEvents } from "./passed.ts";
import { Pulse, watched } from "./pulse.ts";
import { hashOf } from "./ring.ts";
import { hostsName, type Sealer } from "./sealed.ts";
import { here, postOf } from "./session.ts";
import { Upload } from "./upload.ts";

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
  return await hosts.place(null, (host) =>
    watched(host, silenceMs, async (signal) => {
      const response = await host.ask(root, { ...post, tenant, signal });
      return await renamed(passing, host, { response, signal });
    }, request.signal));
}

// Of all hosts that are there.
async function list(passing: Passing): Promise<Response> {
  const { hosts, sealer, silenceMs, request, tenant, root } = passing;
  const lists = await Promise.all(hosts.all.map(async (host) => {
    try {
      const { data } = await watched(host, silenceMs, async (signal) => {
        const response = await host.ask(root, { tenant, signal });
        return await host.json(response, listed, signal);
      }, request.signal);
      return await Promise.all(data.map(async (each) => ({
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
  const upload = new Upload(request);
  const pulse = new Pulse(host, silenceMs, upload.left);
  try {
    const type = request.headers.get("Content-Type");
    const path = `${root}/${held.id}${rest}`;
    const response = await here(() =>
      host.ask(path, {
        method,
        body: upload.body,
        headers: type === null ? {} : { "Content-Type": type },
        tenant,
        signal: pulse.signal,
      })
    );
    const { signal } = pulse;
    const known = { name, id: held.id };
    return await here(() => renamed(passing, host, { response, signal, pulse, known }));
  } catch (cause) {
    pulse[Symbol.dispose]();
    const { reason } = pulse.signal;
    const error = reason instanceof HostError ? toldOf(reason) : upload.fault ?? cause;
    throw error instanceof RequestError ? renamedError(error, held.id, name) : error;
  }
}

const listed = z.looseObject({ data: z.array(z.looseObject({ id: hostsName })) });
const answered = z.looseObject({ id: hostsName.optional() });

// What a host answered.
interface Answered {
  readonly response: Response;
  /** Of the request. */
  readonly signal: AbortSignal;
  /** Listens to the host until the answer is read; left out: who asks does. */
  readonly pulse?: Pulse;
  /** A name that the client knows, and what it stands for. */
  readonly known?: { readonly name: string; readonly id: string };
}

// An object of JSON has the host's own name in it; streams and numbers have none.
async function renamed(
  { sealer, tenant, root }: Passing,
  host: Host,
  { response, signal, pulse, known }: Answered,
): Promise<Response> {
  const headers = new Headers();
  for (const name of PASSED) {
    const value = response.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  const { status } = response;
  const type = headers.get("Content-Type") ?? "";
  if (!type.startsWith("application/json")) {
    const passed = type.startsWith("text/event-stream") ? passedEvents : passedBytes;
    return new Response(response.body && passed(response.body, pulse), { status, headers });
  }
  const body = await host.json(response, answered, signal);
  pulse?.[Symbol.dispose]();
  if (body.id !== undefined) {
    const { id } = body;
    body.id = known?.id === id ? known.name : await sealer.seal({ host: tagOf(host), id }, tenant);
    if (status === 201) headers.set("Location", `${root}/${body.id}`);
  }
  return new Response(JSON.stringify(body), { status, headers });
}

function renamedError(error: RequestError, id: string, name: string): RequestError {
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
