// command.ts - command lines run within the test's process, or a program in one of its own, with
// what they write kept.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Streams } from "../../cli/output.ts";
import { run } from "../../cli/run.ts";
import { assertEquals, runtime } from "../harness.ts";

/** What a command line came to. */
export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The shipped model: it has a tokenizer. */
export const needle: string = pathOf("models/needle");
/** A tiny random model without a tokenizer. */
export const tiny: string = pathOf("tests/golden/llama-plain");

/** The path of a file of the project. */
export function pathOf(name: string): string {
  return fileURLToPath(new URL(`../../${name}`, import.meta.url));
}

/**
 * Runs a command line; `written` is told of each text on standard error, a terminal then. `input`
 * is all that comes from standard input.
 */
export async function command(
  args: readonly string[],
  written?: () => void,
  input = "",
): Promise<Ended> {
  const texts = { stdout: "", stderr: "" };
  const streams: Streams = {
    stdin: Readable.from([input]),
    stdout: { write: (text) => texts.stdout += text },
    stderr: {
      isTTY: written !== undefined,
      write(text) {
        texts.stderr += text;
        written?.();
      },
    },
  };
  return { status: await run(args, streams), ...texts };
}

/**
 * Runs a program of the project with the runtime that runs the tests; or reads no output.
 * `environment` is more of its environment; Deno gives it `permissions`.
 */
export async function spawned(
  program: string,
  args: readonly string[],
  readAll = true,
  environment: Readonly<Record<string, string>> = {},
  permissions: readonly string[] = ["-A"],
): Promise<Ended> {
  const command = runtime === "deno"
    ? ["run", "--quiet", "--no-check", "--no-prompt", ...permissions]
    : [];
  const child = spawn(process.execPath, [...command, pathOf(program), ...args], {
    env: { ...process.env, NO_COLOR: "1", ...environment },
  });
  const texts = { stdout: "", stderr: "" };
  if (readAll) child.stdout.on("data", (data) => texts.stdout += data);
  else child.stdout.destroy();
  child.stderr.on("data", (data) => texts.stderr += data);
  const [status] = await once(child, "close");
  return { status, ...texts };
}

/** Runs main.ts with its standard output going to a file. */
export function spawnedTo(path: string, args: readonly string[]): Omit<Ended, "stdout"> {
  const command = runtime === "deno" ? ["run", "--quiet", "--no-check", "--no-prompt", "-A"] : [];
  const output = openSync(path, "w");
  try {
    const { status, stderr } = spawnSync(
      process.execPath,
      [...command, pathOf("main.ts"), ...args],
      { stdio: ["ignore", output, "pipe"], encoding: "utf8", env: process.env },
    );
    return { status: status ?? -1, stderr };
  } finally {
    closeSync(output);
  }
}

/** Runs a command line that ends well with one JSON object, and nothing but that, on stdout. */
// deno-lint-ignore no-explicit-any -- tests read whatever a result holds
export async function jsonOf(args: readonly string[]): Promise<any> {
  const { status, stdout, stderr } = await command([...args, "--json"]);
  assertEquals([status, stderr], [0, ""]);
  assertEquals(stdout.split("\n").length, 2, `not one line: ${stdout}`);
  return JSON.parse(stdout);
}

/** A folder that goes away; files are written into it by name. */
export class Folder implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "specache-cli-"));

  /** The path of a name in it. */
  of(name: string): string {
    return join(this.path, name);
  }

  /** Writes a file and answers its path. */
  file(name: string, content: string | Uint8Array): string {
    writeFileSync(this.of(name), content);
    return this.of(name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A JSON file of `count` token ids, all below `below`. */
export function idsText(count: number, below = 128): string {
  return JSON.stringify(Array.from({ length: count }, (_, at) => (at * 37 + 11) % below));
}
