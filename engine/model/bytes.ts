// bytes.ts - reads bytes at a place of a file. Whatever the system says no to becomes a
// SpecacheError that names the file, and a file that is no plain file is refused before it is
// opened: opening a pipe would wait for ever.
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { broken, unreadable } from "./faults.ts";

/** An open file. */
export interface FileBytes {
  readonly path: string;
  /** Bytes in all. */
  readonly size: number;
  /** Exactly `count` bytes from `position` on. */
  read(position: number, count: number): Uint8Array<ArrayBuffer>;
}

/** Opens a file for the time that `body` runs. */
export function withFile<Result>(path: string, body: (file: FileBytes) => Result): Result {
  const status = attempt(path, () => statSync(path, { throwIfNoEntry: false }));
  if (status === undefined) broken(path, "does not exist");
  if (!status.isFile()) broken(path, "is not a file");
  const file = attempt(path, () => openSync(path, "r"));
  try {
    const size = attempt(path, () => fstatSync(file).size);
    return body({ path, size, read: (position, count) => read(path, file, position, count) });
  } finally {
    closeSync(file);
  }
}

function read(path: string, file: number, position: number, count: number) {
  const bytes = new Uint8Array(count);
  let done = 0;
  while (done < count) {
    const got = attempt(path, () => readSync(file, bytes, done, count - done, position + done));
    if (got === 0) broken(path, `ends at ${position + done}, ${count - done} bytes too early`);
    done += got;
  }
  return bytes;
}

function attempt<Result>(path: string, call: () => Result): Result {
  try {
    return call();
  } catch (cause) {
    return unreadable(path, cause);
  }
}
