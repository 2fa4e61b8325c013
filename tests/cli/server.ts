// server.ts - `specache serve` in a process of its own, ended with the test.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { assertMatch, fail, runtime } from "../harness.ts";
import { needle, pathOf } from "./command.ts";

/** The shipped model has no template of its own. */
export const template =
  "{% for m in messages %}{{ m.content }}\n{% endfor %}Recall: The code of amber is";

/** A server that runs. */
export class Server implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #texts = { stdout: "", stderr: "" };
  readonly #ended: Promise<unknown[]>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, "close");
    child.stdout!.on("data", (data) => this.#texts.stdout += data);
    child.stderr!.on("data", (data) => this.#texts.stderr += data);
  }

  /** Starts one with the runtime that runs the tests, on a free port. */
  static async start(templateFile: string, args: readonly string[] = []): Promise<Server> {
    const command = runtime === "deno" ? ["run", "--quiet", "-A", "--no-check"] : [];
    const model = ["--model", needle, "--chat-template", templateFile, "--port", "0"];
    const line = [...command, pathOf("main.ts"), "serve", ...model, ...args];
    const env = { ...process.env, NO_COLOR: "1" };
    const server = new Server(spawn(process.execPath, line, { env }));
    await Promise.race([once(server.#child.stdout!, "data"), server.#ended]);
    return server;
  }

  /** Its address, as it told it. */
  get url(): string {
    const { stdout, stderr } = this.#texts;
    assertMatch(stdout, /^Serving needle at http:\/\/127\.0\.0\.1:\d+\/v1\n$/, stderr);
    return stdout.match(/http\S+/)![0];
  }

  /** What it wrote on standard error. */
  get stderr(): string {
    return this.#texts.stderr;
  }

  /** Sends a signal, and answers the exit status once it has ended. */
  async end(signal: "SIGINT" | "SIGTERM" = "SIGINT"): Promise<number> {
    process.kill(this.#child.pid!, signal); // Deno's kill() would tell the signal as the status
    const [status] = await this.#ended;
    return status as number;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGKILL");
    await this.#ended;
  }
}

/** Waits until `fact` holds. */
export async function until(fact: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!fact()) {
    if (performance.now() > end) fail(`not within 20 s: ${fact}`);
    await new Promise((answer) => setTimeout(answer, 5));
  }
}
