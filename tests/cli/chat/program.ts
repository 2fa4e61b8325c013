// program.ts - main.ts in a process of its own that a test types to, with a pipe or, by Python's
// pty, a terminal between. Tests wait for what it writes, not for a time.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import process from "node:process";
import { fail, runtime } from "../../harness.ts";
import { pathOf } from "../command.ts";

const LIMIT_MS = 60_000; // by then what is waited for does not come any more

// Runs its arguments in a terminal of their own and ends with their exit status; a process that a
// signal ended has a status above 128.
const PTY = `import os, pty, sys
status = pty.spawn(sys.argv[1:])
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)`;

/** What a program runs in. */
export interface ProgramOptions {
  readonly terminal?: boolean;
  /** More of its environment; undefined: without that variable. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** A running program. */
export class Program implements AsyncDisposable {
  /** Settles with its exit status. */
  readonly status: Promise<number | null>;
  readonly #child: ChildProcessWithoutNullStreams;
  #stdout = "";
  #stderr = "";
  #ended = false;
  #changed = Promise.withResolvers<void>();

  /** Starts it with the runtime that runs the tests. */
  constructor(args: readonly string[], { terminal, environment }: ProgramOptions = {}) {
    const command = runtime === "deno" ? ["run", "--quiet", "-A", "--no-check"] : [];
    const line = [process.execPath, ...command, pathOf("main.ts"), ...args];
    const [program, ...rest] = terminal ? ["python3", "-c", PTY, ...line] : line;
    const given = Object.entries({ ...process.env, NO_COLOR: "1", TERM: "xterm", ...environment });
    const env = Object.fromEntries(given.filter(([, value]) => value !== undefined));
    this.#child = spawn(program, rest, { env: env as Record<string, string> });
    this.#child.stdout.on("data", (data) => this.#hear(() => this.#stdout += data));
    this.#child.stderr.on("data", (data) => this.#hear(() => this.#stderr += data));
    this.#child.stdin.on("error", () => {}); // it may have ended
    this.status = new Promise((resolve) => {
      this.#child.on("close", (status) => {
        this.#hear(() => this.#ended = true);
        resolve(status);
      });
    });
  }

  /** What it wrote to standard output; on a terminal, all that it wrote. */
  get stdout(): string {
    return this.#stdout;
  }

  /** What it wrote to standard error. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Types. */
  type(text: string): void {
    this.#child.stdin.write(text);
  }

  /** Ends its input. */
  end(): void {
    this.#child.stdin.end();
  }

  /** As Ctrl-C does outside of raw mode. */
  interrupt(): void {
    // Deno's child.kill() also closes the pipes.
    process.kill(this.#child.pid!, "SIGINT");
  }

  /** Waits until `pattern` is found in what it wrote from `from` characters on of both together. */
  async wait(pattern: RegExp, from = 0): Promise<void> {
    const late = Date.now() + LIMIT_MS;
    while (!pattern.test(this.written.slice(from))) {
      if (this.#ended || Date.now() > late) fail(`${pattern} is not in ${this.written}`);
      await Promise.race([this.#changed.promise, new Promise((go) => setTimeout(go, 1000))]);
    }
  }

  /** All that it wrote. */
  get written(): string {
    return this.#stdout + this.#stderr;
  }

  /** Kills it, where it has not ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.status;
  }

  #hear(take: () => void): void {
    take();
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}
