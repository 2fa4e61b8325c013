// request.ts - requests to a hub. Redirects are followed here, so that the token goes to the hub's
// own host and to no other, and a file of an https hub never comes by http.
import process from "node:process";
import { SpecacheError } from "../engine/errors.ts";
import { PATIENCE, type Patience, TransientError } from "./retry.ts";

/** A hub. */
export interface Hub {
  /** Without a slash at its end. */
  readonly url: string;
  readonly token: string | null;
  readonly patience: Patience;
}

const REDIRECTS_MAX = 5;
const RETRY_AFTER_MAX = 60; // seconds

/**
 * The hub that HF_ENDPOINT names, with the token in HF_TOKEN.
 *
 * @throws {SpecacheError} argument: one of them cannot be used
 */
export function hubOf(standard: string, patience: Patience = PATIENCE): Hub {
  const { HF_ENDPOINT, HF_TOKEN } = process.env;
  const url = (HF_ENDPOINT || standard).replace(/\/+$/, "");
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? "")) {
    throw new SpecacheError("argument", `Cannot pull: HF_ENDPOINT ${url} is no http address`);
  }
  const token = HF_TOKEN?.trim() || null;
  if (token !== null && !/^[\x21-\x7e]+$/.test(token)) {
    throw new SpecacheError("argument", "Cannot pull: HF_TOKEN holds what no token does");
  }
  return { url, token, patience };
}

/**
 * The answer to a GET; its status is 2xx or 416. `signal` ends it, also while its body is read.
 *
 * @throws {SpecacheError} file: the hub refuses; data: it redirects to what cannot be
 * @throws {TransientError} no answer, or one that says to come back
 */
export async function request(
  hub: Hub,
  url: string,
  headers: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<Response> {
  const home = new URL(hub.url);
  let at = new URL(url);
  for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
    const own = hub.token !== null && at.origin === home.origin;
    const sent = own ? { ...headers, authorization: `Bearer ${hub.token}` } : headers;
    const answer = await ask(at, sent, signal);
    const to = answer.status >= 300 && answer.status < 400 && answer.headers.get("location");
    if (!to) return accepted(hub, at, answer);
    await answer.body?.cancel();
    at = redirected(home, at, to);
  }
  throw new SpecacheError("data", `Cannot pull: ${url} redirects more than ${REDIRECTS_MAX} times`);
}

async function ask(
  url: URL,
  headers: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<Response> {
  try {
    return await fetch(url, { headers, redirect: "manual", signal });
  } catch (cause) {
    const why = signal?.aborted ? "no answer in time" : reasonOf(cause);
    throw new TransientError(`${shown(url)}: ${why}`, 0, cause);
  }
}

// Why nothing answered. Deno says it behind "client error (Connect): ", Bun and Node by a code.
function reasonOf(cause: unknown): string {
  const inner = (cause as Error).cause ?? cause;
  const { code = "", message } = inner as { code?: string; message: string };
  const [, why = message] = message.match(/client error \([^)]*\): (.*)/s) ?? [];
  const codes = /^(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ConnectionRefused|FailedToOpen)/;
  const words = /^(dns error|tcp connect error|Unable to connect|Was there a typo)/;
  return codes.test(code) || words.test(why) ? "cannot be reached; is this machine online?" : why;
}

function redirected(home: URL, from: URL, location: string): URL {
  const to = URL.parse(location, from);
  const safe = home.protocol === "https:" ? ["https:"] : ["https:", "http:"];
  if (to !== null && safe.includes(to.protocol)) return to;
  const target = to === null ? location : shown(to);
  throw new SpecacheError("data", `Cannot pull: ${shown(from)} redirects to ${target}`);
}

async function accepted(hub: Hub, url: URL, answer: Response): Promise<Response> {
  const { status, ok, headers } = answer;
  if (ok || status === 416) return answer;
  await answer.body?.cancel();
  if (status === 408 || status === 429 || status >= 500) {
    const seconds = Number(headers.get("retry-after")) || 0;
    const waitMs = 1000 * Math.min(Math.max(seconds, 0), RETRY_AFTER_MAX);
    throw new TransientError(`${shown(url)} answers ${status}`, waitMs);
  }
  throw new SpecacheError(
    "file",
    `Cannot pull: ${shown(url)} answers ${status}${hint(hub, status)}`,
    {
      details: { status },
    },
  );
}

function hint({ token }: Hub, status: number): string {
  if (status === 404) return ": there is no such model, revision or file";
  if (status !== 401 && status !== 403) return "";
  const access = token === null ? "HF_TOKEN is not set" : "the token in HF_TOKEN does not give it";
  return `: the model does not exist or asks for access, and ${access}`;
}

// Signed addresses carry secrets behind the question mark.
const shown = ({ origin, pathname }: URL) => origin + pathname;
