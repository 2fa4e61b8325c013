// unzip.ts - one file out of a zip archive, piece by piece.
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { Unzip, UnzipInflate } from "fflate";
import { SpecacheError } from "../engine/errors.ts";

const PIECE_BYTES = 1 << 20; // of the archive, at a time

/**
 * Writes one file of a zip archive, at most `bytesMax` bytes of it.
 *
 * @throws {SpecacheError} data: it is not there, too large, or the archive is broken
 */
export function takeOut(archive: string, name: string, path: string, bytesMax: number): void {
  const [from, to] = [openSync(archive, "r"), openSync(path, "w")];
  const refuse = (why: string): never => {
    throw new SpecacheError("data", `Cannot pull: ${archive}: ${why}`);
  };
  let ended = false;
  let bytes = 0;
  const unzip = new Unzip((file) => {
    if (file.name !== name) return;
    file.ondata = (error, chunk, final) => {
      if (error) refuse(error.message);
      bytes += chunk.length;
      if (bytes > bytesMax) refuse(`${name} has more than ${bytesMax} bytes`);
      for (let at = 0; at < chunk.length;) at += writeSync(to, chunk, at);
      ended ||= final;
    };
    file.start();
  });
  unzip.register(UnzipInflate);
  try {
    for (let got = -1; got !== 0 && !ended;) {
      const piece = new Uint8Array(PIECE_BYTES);
      got = readSync(from, piece, 0, PIECE_BYTES, null);
      unzip.push(piece.subarray(0, got), got === 0);
    }
    if (!ended) refuse(`${name} is not in it`);
  } catch (cause) {
    if (cause instanceof SpecacheError) throw cause;
    refuse((cause as Error).message);
  } finally {
    closeSync(from);
    closeSync(to);
  }
}
