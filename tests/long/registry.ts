// registry.ts - a JSR registry on loopback: `deno publish` sends it the package, and programs
// import from it what was published, as they would from jsr.io.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import process from "node:process";

const NAME = "@specache/specache";

/** The registry; it serves from when it is open until it is disposed. */
export class Registry implements AsyncDisposable {
  readonly #server: Server;
  /** Folder of what was published: the package's files. */
  readonly files: string;
  #version: string | null = null;

  private constructor(folder: string) {
    this.files = join(folder, "published");
    mkdirSync(this.files);
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error) => response.writeHead(500).end(String(error)));
    });
  }

  /** Opens a registry that keeps its files in `folder`, and publishes the checkout `root` to it. */
  static async publish(folder: string, root: string): Promise<Registry> {
    const registry = new Registry(folder);
    registry.#server.listen(0, "127.0.0.1");
    await once(registry.#server, "listening");
    const flags = ["--token=none", "--no-provenance", "--allow-dirty", "--no-check", "--quiet"];
    const { status, stderr } = await ended(
      spawn(process.execPath, ["publish", ...flags], { cwd: root, env: registry.environment({}) }),
    );
    if (status !== 0 || registry.#version === null) throw new Error(`Cannot publish: ${stderr}`);
    return registry;
  }

  /** The environment of a program that imports from this registry. */
  environment(more: Readonly<Record<string, string>>): Record<string, string> {
    const { port } = this.#server.address() as AddressInfo;
    const own = { JSR_URL: `http://127.0.0.1:${port}/`, NO_COLOR: "1" };
    return { ...process.env as Record<string, string>, ...own, ...more };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url!, "http://registry").pathname;
    const json = (value: unknown, status = 200) =>
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    const version = path.match(/^\/api\/scopes\/specache\/packages\/specache\/versions\/(.+)$/)
      ?.[1];
    if (version !== undefined && request.method === "POST") {
      this.#keep(version, await bodyOf(request));
      json({ id: "1", status: "success", error: null });
    } else if (version !== undefined) json({ code: "packageVersionNotFound", message: "" }, 404);
    else if (path.startsWith("/api/")) json({});
    else if (path === `/${NAME}/meta.json`) json(this.#packageMeta());
    else if (path === `/${NAME}/${this.#version}_meta.json`) json(this.#versionMeta());
    else this.#send(path, response);
  }

  #keep(version: string, tarball: Uint8Array): void {
    const path = `${this.files}.tgz`;
    writeFileSync(path, tarball);
    const { status, stderr } = spawnSync("tar", ["xzf", path, "-C", this.files]);
    if (status !== 0) throw new Error(String(stderr));
    this.#version = version;
  }

  #packageMeta() {
    const versions = { [this.#version!]: {} };
    return { scope: "specache", name: "specache", latest: this.#version, versions };
  }

  #versionMeta() {
    const { exports } = JSON.parse(readFileSync(join(this.files, "deno.json"), "utf8"));
    const manifest = Object.fromEntries(
      this.list().map((path) => {
        const content = readFileSync(join(this.files, path));
        const checksum = `sha256-${createHash("sha256").update(content).digest("hex")}`;
        return [`/${path}`, { size: content.length, checksum }];
      }),
    );
    return { exports, manifest };
  }

  /** The published files, by their paths in the package. */
  list(): string[] {
    const names = readdirSync(this.files, { recursive: true }) as string[];
    return names.filter((name) => statSync(join(this.files, name)).isFile()).sort();
  }

  #send(path: string, response: ServerResponse): void {
    const file = path.slice(`/${NAME}/${this.#version}/`.length);
    if (!this.list().includes(file)) return void response.writeHead(404).end();
    const type = file.endsWith(".ts") ? "text/typescript" : "text/plain";
    response.writeHead(200, { "content-type": type }).end(readFileSync(join(this.files, file)));
  }
}

async function bodyOf(request: IncomingMessage): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

/** What a program came to. */
export async function ended(
  child: ChildProcess,
): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }> {
  const texts = { stdout: "", stderr: "" };
  child.stdout!.on("data", (data) => texts.stdout += data);
  child.stderr!.on("data", (data) => texts.stderr += data);
  const [status] = await once(child, "close");
  return { status, ...texts };
}
