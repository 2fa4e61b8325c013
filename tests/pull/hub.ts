// hub.ts - a small hub on loopback for tests: its list of files, its redirects to a second host
// that keeps large files, and the faults that a test asks for.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** The repository's name. */
export const REPO = "owner/model";
/** Larger files are kept by the second host, and have a sha256. */
export const LARGE_BYTES = 4096;

/** A request that came. */
export interface Asked {
  readonly host: "hub" | "store";
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/** How one request is answered instead of as it should be; true: it is answered. */
export type Fault = (
  asked: Asked,
  answer: ServerResponse,
  content: Uint8Array | null,
) => boolean;

/** A hub with one repository of one revision. */
export class TestHub implements AsyncDisposable {
  /** By name. */
  files: Map<string, Uint8Array>;
  /** Of the list instead of what the files are. */
  listed: Record<string, object> = {};
  commit = "a".repeat(40);
  revisions: string[] = ["main"];
  fault: Fault = () => false;
  readonly asked: Asked[] = [];
  readonly #servers: Server[] = [];
  #urls: Record<Asked["host"], string> = { hub: "", store: "" };

  private constructor(files: Record<string, Uint8Array>) {
    this.files = new Map(Object.entries(files));
  }

  /** Starts one. */
  static async start(files: Record<string, Uint8Array>): Promise<TestHub> {
    const hub = new TestHub(files);
    for (const host of ["hub", "store"] as const) {
      const server = createServer((request, answer) => hub.#answer(host, request, answer));
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      hub.#servers.push(server);
      hub.#urls[host] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    }
    return hub;
  }

  /** Address of the hub. */
  get url(): string {
    return this.#urls.hub;
  }

  /** Requests for a file, at whichever host keeps it. */
  askedFor(name: string): Asked[] {
    return this.asked.filter(({ host, path }) =>
      path.endsWith(`/${name}`) && (host === "store" || !this.#isLarge(name))
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    }
  }

  #isLarge(name: string): boolean {
    return (this.files.get(name)?.byteLength ?? 0) >= LARGE_BYTES;
  }

  #answer(host: Asked["host"], { url, headers }: IncomingMessage, answer: ServerResponse) {
    const { pathname, searchParams } = new URL(url!, "http://x");
    const path = decodeURIComponent(pathname);
    const { range, authorization } = headers;
    const asked = { host, path, range, authorization };
    this.asked.push(asked);
    const name = path.split("/").slice(host === "hub" ? 5 : 2).join("/");
    const content = this.files.get(name) ?? null;
    if (this.fault(asked, answer, content)) return;
    if (path.startsWith("/api/")) return this.#api(path, searchParams.has("cursor"), answer);
    if (content === null) return text(answer, 404, "Entry not found");
    if (host === "hub" && this.#isLarge(name)) {
      const location = `${this.#urls.store}/signed/${encodeURIComponent(name)}?secret=1`;
      answer.writeHead(302, { location }).end();
      return;
    }
    send(answer, content, range);
  }

  #api(path: string, last: boolean, answer: ServerResponse) {
    const [, kind, revision] = path.match(`^/api/models/${REPO}/(revision|tree)/(.+)$`) ?? [];
    if (kind === "revision" && this.revisions.includes(revision)) {
      json(answer, { _id: "1", id: REPO, sha: this.commit, lastModified: "2026-01-01" });
    } else if (kind === "tree" && revision === this.commit) {
      const list = [{ type: "directory", path: "onnx", size: 0, oid: "1" }, ...this.#list()];
      if (last) json(answer, list.slice(1));
      else { // in two pages, the directory alone on the first
        const next = `<${this.#urls.hub}${path}?cursor=1>; rel="next"`;
        answer.setHeader("link", next);
        json(answer, list.slice(0, 1));
      }
    } else json(answer, { error: "Repository not found" }, 404);
  }

  #list(): object[] {
    return [...this.files].map(([path, content]) => ({
      type: "file",
      path,
      size: content.byteLength,
      oid: createHash("sha1").update(`blob ${content.byteLength}\0`).update(content).digest("hex"),
      ...(this.#isLarge(path) ? { lfs: { oid: sha256(content), size: content.byteLength } } : {}),
      ...this.listed[path],
    }));
  }
}

/** Sends a file, or the range of it that is asked for. */
export function send(answer: ServerResponse, content: Uint8Array, range: string | undefined) {
  const from = Number(range?.match(/^bytes=(\d+)-$/)?.[1] ?? 0);
  const { byteLength: all } = content;
  if (from >= all) {
    answer.writeHead(416, { "content-range": `bytes */${all}` }).end();
    return;
  }
  const headers = { "content-length": all - from };
  const ranged = { ...headers, "content-range": `bytes ${from}-${all - 1}/${all}` };
  answer.writeHead(range === undefined ? 200 : 206, range === undefined ? headers : ranged);
  answer.end(content.subarray(from));
}

/** Sends the first `bytes` of what is asked for, and ends the connection. */
export function sendAndCut(
  answer: ServerResponse,
  content: Uint8Array,
  range: string | undefined,
  bytes: number,
) {
  const from = Number(range?.match(/^bytes=(\d+)-$/)?.[1] ?? 0);
  const all = content.byteLength;
  answer.writeHead(range === undefined ? 200 : 206, {
    "content-length": all - from,
    "content-range": `bytes ${from}-${all - 1}/${all}`,
  });
  answer.write(content.subarray(from, from + bytes), () => setTimeout(() => answer.destroy(), 20));
}

/** Sends a text. */
export function text(answer: ServerResponse, status: number, content: string) {
  answer.writeHead(status, { "content-type": "text/plain" }).end(content);
}

/** Sends JSON. */
export function json(answer: ServerResponse, value: unknown, status = 200) {
  answer.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

const sha256 = (content: Uint8Array) => createHash("sha256").update(content).digest("hex");
