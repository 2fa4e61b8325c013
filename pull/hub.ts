// hub.ts - what a hub has of a model: the commit that a revision is now, and the files of it. The
// list is read by @huggingface/hub; the files themselves by download.ts, since that library neither
// resumes nor checks.
import { HUB_URL, listFiles, modelInfo } from "@huggingface/hub";
import { z } from "zod";
import { SpecacheError } from "../engine/errors.ts";
import type { ModelName } from "./name.ts";
import { type Hub, hubOf, request } from "./request.ts";
import { type Patience, retried, TransientError } from "./retry.ts";

/** A file of a repository. */
export interface HubFile {
  readonly name: string;
  readonly bytes: number;
  /** Null for small files, which git alone keeps. */
  readonly sha256: string | null;
  /** Of git: sha1 of "blob <bytes>\0" and the content; null where sha256 is there. */
  readonly blob: string | null;
}

/** A model at one commit. */
export interface HubModel {
  readonly hub: Hub;
  readonly commit: string;
  /** Of the top folder, by name. */
  readonly files: ReadonlyMap<string, HubFile>;
  /** Where a file is read. */
  urlOf(name: string): string;
}

const COMMIT = /^[0-9a-f]{40}$/;
const entry = z.object({
  type: z.string(),
  path: z.string(),
  size: z.int().min(0),
  oid: z.string(),
  lfs: z.object({ oid: z.string().regex(/^[0-9a-f]{64}$/), size: z.int().min(0) }).optional(),
});

/**
 * Reads the list of a model's files.
 *
 * @throws {SpecacheError} file: the hub refuses or does not answer; data: its answer is broken
 */
export async function readHub(
  { repo, revision }: NonNullable<ModelName["hub"]>,
  patience?: Patience,
): Promise<HubModel> {
  const hub = hubOf(HUB_URL, patience);
  const ask = askWith(hub);
  return await retried(hub.patience, async () => {
    const info = { name: repo, revision, hubUrl: hub.url, fetch: ask };
    const { sha } = await answered(hub, modelInfo({ ...info, additionalFields: ["sha"] }));
    const commit = COMMIT.test(String(sha)) ? String(sha) : refuse(hub, `commit ${sha}`);
    const files = new Map<string, HubFile>();
    const listed = listFiles({ repo, revision: commit, hubUrl: hub.url, fetch: ask });
    for (const file of await answered(hub, Array.fromAsync(listed))) {
      const fit = entry.safeParse(file);
      if (!fit.success) return refuse(hub, `file ${JSON.stringify(file)}`);
      const { type, path, size, oid, lfs } = fit.data;
      if (type !== "file" || !isFileName(path)) continue;
      files.set(path, {
        name: path,
        bytes: lfs?.size ?? size,
        sha256: lfs?.oid ?? null,
        blob: lfs === undefined ? oid : null,
      });
    }
    const urlOf = (name: string) =>
      `${hub.url}/${repo}/resolve/${commit}/${encodeURIComponent(name)}`;
    return { hub, commit, files, urlOf };
  });
}

/** Whether a name is that of a plain file, in no other folder. */
export function isFileName(name: string): boolean {
  return /^[^./\\\p{Cc}][^/\\\p{Cc}]*$/u.test(name) && name.length <= 200;
}

function askWith(hub: Hub): typeof fetch {
  const ask = async (input: RequestInfo | URL) => {
    const idle = AbortSignal.timeout(hub.patience.idleMs);
    return await request(hub, String(input), { accept: "application/json" }, idle);
  };
  return ask as typeof fetch;
}

async function answered<Result>(hub: Hub, answer: Promise<Result>): Promise<Result> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof SpecacheError || error instanceof TransientError) throw error;
    if (error instanceof SyntaxError) return refuse(hub, "text that is not JSON");
    throw new TransientError(`${hub.url}: ${(error as Error).message}`, 0, error);
  }
}

function refuse(hub: Hub, what: string): never {
  throw new SpecacheError("data", `Cannot pull: ${hub.url} answers with ${what.slice(0, 200)}`);
}
