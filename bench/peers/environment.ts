// environment.ts - where rivals live: packages at named versions in the cache folder, outside ours.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { SpecacheError } from "../../engine/errors.ts";
import { cacheHome } from "../../ffi/home.ts";

/**
 * The python of a virtual environment in the cache folder with what requirements.txt and
 * constraints.txt of `folder` list; installs what is not there yet, or not in these versions.
 *
 * @throws {SpecacheError} file: python3, or what it installs, cannot be had
 */
export async function pythonEnvironment(name: string, folder: string): Promise<string> {
  const environment = join(cacheHome(), name);
  const python = join(environment, "bin", "python");
  const lists = ["requirements.txt", "constraints.txt"].map((list) => join(folder, list));
  const texts = await Promise.all(lists.map((list) => readFile(list)));
  await once(environment, texts, async () => {
    await run("python3", ["-m", "venv", environment]);
    const [requirements, constraints] = lists;
    const pip = ["-m", "pip", "install", "--quiet", "--no-cache-dir"];
    await run(python, [...pip, "-r", requirements, "-c", constraints]);
  });
  return python;
}

/**
 * The node_modules of a folder in the cache folder with `packages` (name@version) in it and none
 * of what they call optional.
 *
 * @throws {SpecacheError} file: npm, or what it installs, cannot be had
 */
export async function nodeEnvironment(name: string, packages: readonly string[]): Promise<string> {
  const environment = join(cacheHome(), name);
  await once(environment, packages, async () => {
    await writeFile(join(environment, "package.json"), `{ "private": true }\n`);
    const quiet = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional"];
    await run("npm", ["install", ...quiet, "--prefix", environment, ...packages]);
  });
  return join(environment, "node_modules");
}

async function once(
  environment: string,
  wanted: readonly (string | Uint8Array)[],
  install: () => Promise<void>,
): Promise<void> {
  const hash = createHash("sha256");
  for (const part of wanted) hash.update(part);
  const key = hash.digest("hex");
  const marker = join(environment, "installed");
  if (await readFile(marker, "utf8").catch(() => "") === key) return;
  console.error(`Installing into ${environment}`);
  await mkdir(environment, { recursive: true });
  await install();
  await writeFile(marker, key);
}

/** Ends when the command has, whose output is ours. */
export function run(
  command: string,
  args: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1", ...more };
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child = spawn(command, args, { stdio: "inherit", env });
  const failed = (why: string, cause?: unknown) =>
    reject(new SpecacheError("file", `Cannot run ${command}: ${why}`, { cause }));
  child.on("error", (error) => failed(error.message, error));
  child.on("close", (code) => code === 0 ? resolve() : failed(`it ended with ${code}, not 0`));
  return promise;
}
