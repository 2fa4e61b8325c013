// check.ts - a file that was fetched, against the hash that its source lists.
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { SpecacheError } from "../engine/errors.ts";
import type { HubFile } from "./hub.ts";

/**
 * Refuses a file whose hash is not the listed one, and removes it: it cannot be gone on from.
 *
 * @throws {SpecacheError} data: the hash is another
 */
export async function check(path: string, { name, bytes, sha256, blob }: HubFile): Promise<void> {
  const [kind, wanted] = sha256 === null ? ["git's sha1", blob] : ["sha256", sha256];
  const hash: Hash = sha256 === null
    ? createHash("sha1").update(`blob ${bytes}\0`)
    : createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  const found = hash.digest("hex");
  if (found === wanted) return;
  await rm(path, { force: true });
  throw new SpecacheError("data", `Cannot pull: ${kind} ${found} of ${name} is not ${wanted}`, {
    details: { name, found, wanted },
  });
}
