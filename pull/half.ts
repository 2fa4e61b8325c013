// half.ts - the folder of a model that is being pulled, from its first byte to its place.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { SpecacheError } from "../engine/errors.ts";
import { LOCK } from "../ffi/lock.ts";
import type { HubFile } from "./hub.ts";

/** Empties the folder but for its lock, and for `kept`. */
export function emptyPulling(folder: string, kept = LOCK): void {
  for (const name of readdirSync(folder)) {
    if (name === kept || name === LOCK) continue;
    rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** The folder of a commit's files; those of other commits go. */
export function halfOf(folder: string, commit: string): string {
  emptyPulling(folder, commit);
  const half = join(folder, commit);
  mkdirSync(half, { recursive: true });
  return half;
}

/**
 * Refuses what the disk has no room for: `bytes` of all files, less those that are there.
 *
 * @throws {SpecacheError} capacity: no room
 */
export function refuseFull(folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder);
  const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
  const there = names.reduce((sum, { name }) => sum + statSync(join(folder, name)).size, 0);
  const [missing, free] = [bytes - there, bavail * bsize];
  if (missing <= free) return;
  throw new SpecacheError("capacity", `Cannot pull: ${missing} bytes are above the ${free} free`, {
    details: { missing, free, folder },
  });
}

/** Removes all other files. */
export function keepOnly(folder: string, files: readonly HubFile[]): void {
  const wanted = new Set(files.map(({ name }) => name));
  for (const name of readdirSync(folder)) {
    if (!wanted.has(name)) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** Renames a whole model into place, over the one that is there. */
export function putInPlace(half: string, place: string, folder: string): void {
  mkdirSync(dirname(place), { recursive: true });
  const old = join(folder, "old");
  if (existsSync(place)) renameSync(place, old);
  renameSync(half, place);
  emptyPulling(folder);
}
