// kept.ts - the models that were pulled: each a folder of the cache folder with a manifest, which
// is written last, so that a folder without one is none of them.
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { SpecacheError } from "../engine/errors.ts";
import { describeModel } from "../engine/model/describe.ts";
import { modelHash, profilePath } from "../engine/profile_store.ts";
import { refusedAs } from "../engine/system.ts";
import { cacheHome } from "../ffi/home.ts";
import { emptyPulling } from "./half.ts";
import { lockPulling } from "./lock.ts";
import type { ModelName } from "./name.ts";

/** What a manifest says. */
export interface Manifest {
  readonly name: string;
  /** Of the hub's repository, or the Python package's version. */
  readonly commit: string;
  /** The GGUF file to open; null: the folder itself. */
  readonly file: string | null;
  /** Of all files. */
  readonly bytes: number;
}

/** A model that was pulled. */
export interface KeptModel extends Manifest {
  /** What to open. */
  readonly path: string;
  readonly folder: string;
}

/** Name of the manifest in a model's folder. */
export const MANIFEST = "specache-model.json";

const manifest: z.ZodType<Manifest> = z.object({
  name: z.string(),
  commit: z.string(),
  file: z.string().nullable(),
  bytes: z.number(),
});

/** The folder of all models that were pulled. */
export function modelsFolder(): string {
  return join(cacheHome(), "models");
}

/** The folder of a model, there or not. */
export function folderOf({ folder }: ModelName): string {
  return join(modelsFolder(), ...folder.split("/"));
}

/** The folder of what is still being pulled. */
export function pullingFolder({ folder }: ModelName): string {
  return join(modelsFolder(), "pulling", folder.replaceAll("/", "="));
}

/** A model that was pulled, or null. */
export function findKept(name: ModelName): KeptModel | null {
  return keptIn(folderOf(name));
}

/** All models that were pulled, by name. */
export function listKept(): KeptModel[] {
  const home = modelsFolder();
  const folders = [
    ...below(join(home, "alias")),
    ...below(join(home, "hub")).flatMap(below),
  ];
  const kept = folders.map(keptIn).filter((model) => model !== null);
  return kept.sort((a, b) => a.name < b.name ? -1 : 1);
}

/**
 * Removes a model, its measured profile, and what an interrupted pull of it left; answers the
 * profile's path, or null where there was none, or another model that is kept needs it.
 *
 * @throws {SpecacheError} argument: neither is there; busy: it is being pulled
 */
export async function removeKept(name: ModelName): Promise<string | null> {
  const folders = [folderOf(name), pullingFolder(name)];
  if (!folders.some((folder) => existsSync(folder))) {
    throw new SpecacheError(
      "argument",
      `Cannot remove model: ${name.text} is not here; specache models lists what is`,
      { details: { name: name.text } },
    );
  }
  using _lock = await lockPulling(pullingFolder(name), `remove model ${name.text}`, () => {
    const sentence = `${name.text} is being pulled by another process: end that, or wait for it`;
    throw new SpecacheError("busy", `Cannot remove model: ${sentence}`, {
      details: { name: name.text },
    });
  });
  const profile = profileOf(findKept(name));
  try {
    rmSync(folderOf(name), { recursive: true, force: true });
    emptyPulling(pullingFolder(name));
    if (profile === null || listKept().some((other) => profileOf(other) === profile)) return null;
    rmSync(profile);
  } catch (cause) {
    const why = refusedAs(cause, "written");
    const path = (cause as { path?: string }).path ?? folderOf(name);
    throw new SpecacheError("file", `Cannot remove model: ${path} ${why}`, { cause });
  }
  return profile;
}

// Path of the profile that was measured of a model; what cannot be opened has none.
function profileOf(model: KeptModel | null): string | null {
  if (model === null) return null;
  try {
    const path = profilePath(modelHash(describeModel(model.path)));
    return existsSync(path) ? path : null;
  } catch (error) {
    if (error instanceof SpecacheError) return null;
    throw error;
  }
}

// Bytes of a model's files.
function bytesIn(folder: string): number {
  const names = readdirSync(folder).filter((name) => name !== MANIFEST);
  return names.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

function below(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name));
}

function keptIn(folder: string): KeptModel | null {
  const path = join(folder, MANIFEST);
  if (!existsSync(path)) return null;
  try {
    const { name, commit, file, bytes } = manifest.parse(JSON.parse(readFileSync(path, "utf8")));
    if (bytesIn(folder) !== bytes) return null; // somebody changed it
    return { name, commit, file, bytes, folder, path: file === null ? folder : join(folder, file) };
  } catch {
    return null; // whoever wrote that, a pull makes it anew
  }
}
