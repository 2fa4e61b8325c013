// front.ts - the worker of examples/edge, run for real, over real servers of models/needle.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import type { Readable } from "node:stream";
import { Miniflare } from "miniflare";
import { Folder, pathOf } from "../cli/command.ts";
import { Server, template } from "../cli/server.ts";
import { assertEquals, fail, runtime } from "../harness.ts";
import { bundledWorker, workerConfig } from "./bundle.ts";

const HOST_KEY = "key-of-hosts";

/** The key of the front's client. */
export const KEY = "key-of-client";

/** The key of who runs the front. */
export const OPERATOR_KEY = "key-of-operator";

/** What a host counts. */
export interface Counts {
  readonly running: number;
  readonly requests: { readonly ended: number; readonly cancelled: number };
  readonly cachedTokens: number;
}

/** Two servers in processes of their own. */
export class Hosts implements AsyncDisposable {
  readonly #folder: Folder;

  private constructor(folder: Folder, readonly servers: readonly Server[]) {
    this.#folder = folder;
  }

  static async start(): Promise<Hosts> {
    const folder = new Folder();
    const files = [folder.file("template", template), folder.file("keys", `${HOST_KEY}\n`)];
    const flags = ["--context", "4096", "--api-key-file", files[1]];
    const start = () => Server.start(files[0], flags);
    return new Hosts(folder, await Promise.all([start(), start()]));
  }

  /** Options of a front over them. */
  get environment(): Record<string, string> {
    const hosts = this.servers.map(({ url }) => ({ url, key: HOST_KEY }));
    return { HOSTS: JSON.stringify(hosts), API_KEYS: KEY, OPERATOR_KEYS: OPERATOR_KEY };
  }

  /** What each counts. */
  counts(): Promise<Counts[]> {
    return Promise.all(this.servers.map(async ({ url }) => {
      const response = await fetch(`${url}/stats`, {
        headers: { Authorization: `Bearer ${HOST_KEY}` },
      });
      assertEquals(response.status, 200);
      return await response.json();
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.servers) await server[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

/** A front that runs. */
export interface Front extends AsyncDisposable {
  /** Its address, without /v1. */
  readonly url: string;
}

// What the front reports of hosts that are gone would stand between the tests' own lines.
function unheard(...streams: readonly Readable[]): void {
  for (const stream of streams) stream.resume();
}

/** A front in workerd. */
export async function inWorkerd(hosts: Hosts): Promise<Front> {
  const { vars, compatibility_date, compatibility_flags } = workerConfig();
  const { code } = await bundledWorker();
  const miniflare = new Miniflare({
    modules: true,
    script: code,
    compatibilityDate: compatibility_date,
    compatibilityFlags: compatibility_flags,
    bindings: { ...vars, ...hosts.environment },
    handleRuntimeStdio: unheard,
  });
  const { origin } = await miniflare.ready;
  return { url: origin, [Symbol.asyncDispose]: () => miniflare.dispose() };
}

/**
 * A front in the runtime that runs the tests, in a process of its own: Deno gives it the network
 * and its environment, and no more.
 */
export async function inProcess(hosts: Hosts): Promise<Front> {
  const { vars, main } = workerConfig();
  const permissions = ["--no-check", "--no-prompt", "--allow-net=127.0.0.1", "--allow-env"];
  const flags = runtime === "deno"
    ? ["serve", ...permissions, "--host", "127.0.0.1", "--port", "0"]
    : ["--port=0"];
  const child = spawn(process.execPath, [...flags, pathOf(`examples/edge/${main}`)], {
    env: { ...process.env, NO_COLOR: "1", PORT: "0", ...vars, ...hosts.environment },
  });
  return { url: await urlOf(child), [Symbol.asyncDispose]: () => killed(child) };
}

async function urlOf(child: ChildProcess): Promise<string> {
  let told = "";
  const found = new Promise<string>((answer) => {
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on("data", (data) => {
        told += data;
        const port = told.match(/http:\/\/[\w.]+:(\d+)/)?.[1];
        if (port !== undefined) answer(`http://127.0.0.1:${port}`);
      });
    }
  });
  const ended = once(child, "close").then(() => fail(`the front ended: ${told}`));
  return await Promise.race([found, ended]);
}

async function killed(child: ChildProcess): Promise<void> {
  const closed = once(child, "close");
  child.kill("SIGKILL");
  await closed;
}
