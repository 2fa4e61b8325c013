// rival.ts - a rival in a process of its own: a line of JSON in, a line of JSON out. While it waits
// for a line it does nothing, so that the other side has the machine to itself.
import { type ChildProcess, spawn } from "node:child_process";
import { basename } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { SpecacheError } from "../../../engine/errors.ts";

/** A process that answers line by line. */
export class Rival implements Disposable {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #waiting: ((line: string | null) => void)[] = [];
  #ended = false;

  /** Starts `command`; what it writes to standard error is shown. */
  constructor(command: string, args: readonly string[], threads: number) {
    this.#name = basename(args[0] ?? command);
    const count = `${threads}`;
    this.#child = spawn(command, args, {
      stdio: ["pipe", "pipe", "inherit"],
      env: {
        ...process.env,
        PYTHONDONTWRITEBYTECODE: "1",
        ...{ OMP_NUM_THREADS: count, MKL_NUM_THREADS: count },
        OMP_WAIT_POLICY: "passive", // its threads must not spin while the other side runs
      },
    });
    const lines = createInterface({ input: this.#child.stdout! });
    lines.on("line", (line) => this.#waiting.shift()?.(line));
    const ended = () => {
      this.#ended = true;
      for (const answer of this.#waiting.splice(0)) answer(null);
    };
    this.#child.on("error", ended);
    this.#child.on("close", ended);
    this.#child.stdin!.on("error", () => {}); // the missing answer tells
  }

  /**
   * Answers what the process answers to `request`.
   *
   * @throws {SpecacheError} file: it has ended, or says why not
   */
  async ask<Answer>(request: unknown): Promise<Answer> {
    const { promise, resolve } = Promise.withResolvers<string | null>();
    if (this.#ended) resolve(null);
    else this.#waiting.push(resolve);
    this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    const line = await promise;
    if (line === null) {
      throw new SpecacheError("file", `Cannot ask ${this.#name}: the process has ended`);
    }
    const answer = JSON.parse(line);
    if (answer?.error === undefined) return answer;
    throw new SpecacheError("file", `Cannot ask ${this.#name}: ${answer.error}`);
  }

  [Symbol.dispose](): void {
    this.#child.kill();
  }
}
