// download.ts - one file of a hub onto the disk: goes on where an earlier try stopped, and ends
// with the size and hash that the hub's list gave.
import { open, rm, stat } from "node:fs/promises";
import { SpecacheError } from "../engine/errors.ts";
import { check } from "./check.ts";
import type { HubFile } from "./hub.ts";
import { type Hub, request } from "./request.ts";
import { retried, TransientError } from "./retry.ts";

/** Where a file comes from and goes to. */
export interface Download {
  readonly hub: Hub;
  readonly url: string;
  readonly file: HubFile;
  /** Of the file; what is there already is its beginning. */
  readonly path: string;
  /** Told of bytes that are there. */
  progress(bytes: number): void;
}

/**
 * Fetches a file and checks it.
 *
 * @throws {SpecacheError} file: the hub refuses or keeps failing; data: size or hash are others
 */
export async function download(what: Download): Promise<void> {
  const { hub, file, path } = what;
  let before = await sizeOf(path);
  let now = before;
  const progressed = () => {
    const more = now > before;
    before = Math.max(before, now);
    return more;
  };
  await retried(hub.patience, async () => {
    now = await sizeOf(path);
    if (now === file.bytes && now > 0) return;
    if (now > file.bytes) now = 0; // of another file: written over
    await append(what, now, (bytes) => what.progress(now = bytes));
  }, progressed);
  what.progress(file.bytes);
  await check(path, file);
}

/** Bytes of a file; 0 where there is none. */
async function sizeOf(path: string): Promise<number> {
  return await stat(path).then(({ size }) => size, () => 0);
}

// One request: what it brings is kept, whether or not it ends well.
async function append(what: Download, from: number, progress: (bytes: number) => void) {
  const { hub, url, file, path } = what;
  using idle = watch(hub.patience.idleMs);
  const range: Record<string, string> = from > 0 ? { range: `bytes=${from}-` } : {};
  const headers = { ...range, "accept-encoding": "identity" };
  const answer = await request(hub, url, headers, idle.signal);
  const start = startOf(answer, from, file);
  if (start === null) {
    await answer.body?.cancel();
    await rm(path, { force: true });
    throw new TransientError(`${file.name} cannot be resumed at ${from}`);
  }
  await using to = await open(path, start === 0 ? "w" : "a");
  let bytes = start;
  for await (const chunk of chunksOf(answer, file, idle)) {
    bytes += chunk.byteLength;
    if (bytes > file.bytes) {
      await rm(path, { force: true }); // what came with it is as wrong
      wrongSize(file, `at least ${bytes}`);
    }
    for (let at = 0; at < chunk.byteLength;) at += (await to.write(chunk, at)).bytesWritten;
    progress(bytes);
  }
  if (bytes < file.bytes) throw new TransientError(`${file.name} ends at ${bytes}`);
}

// Where the answer begins, or null for a range that the server does not have.
function startOf({ status, headers }: Response, from: number, file: HubFile): number | null {
  const length = headers.get("content-length");
  const range = headers.get("content-range");
  if (status === 416) return null;
  if (status !== 206) {
    const plain = (headers.get("content-encoding") ?? "identity") === "identity";
    if (plain && length !== null && Number(length) !== file.bytes) wrongSize(file, length);
    return 0;
  }
  const [, start, all] = range?.match(/^bytes (\d+)-\d+\/(\d+|\*)$/) ?? [];
  if (all !== undefined && all !== "*" && Number(all) !== file.bytes) wrongSize(file, all);
  return Number(start) === from ? from : null;
}

async function* chunksOf(answer: Response, file: HubFile, idle: Watch) {
  try {
    for await (const chunk of answer.body ?? []) {
      idle.touch();
      yield chunk;
    }
  } catch (cause) {
    const why = idle.signal.aborted ? "nothing comes any more" : (cause as Error).message;
    throw new TransientError(`${file.name}: ${why}`, 0, cause);
  }
}

interface Watch extends Disposable {
  readonly signal: AbortSignal;
  touch(): void;
}

// Aborts after `idleMs` without a touch.
function watch(idleMs: number): Watch {
  const stop = new AbortController();
  const start = () => setTimeout(() => stop.abort(), idleMs);
  let timer = start();
  const touch = () => {
    clearTimeout(timer);
    timer = start();
  };
  return { signal: stop.signal, touch, [Symbol.dispose]: () => clearTimeout(timer) };
}

function wrongSize({ name, bytes }: HubFile, found: string): never {
  throw new SpecacheError(
    "data",
    `Cannot pull: ${name} has ${found} bytes, not the listed ${bytes}`,
    {
      details: { name, bytes, found },
    },
  );
}
