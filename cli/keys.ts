// keys.ts - the file of API keys: one a line, empty lines aside.
import { type Flags, readUserFile } from "./options.ts";
import { SpecacheError } from "../engine/errors.ts";

/** Flags that name such a file. */
export const keyFlags = ["api-key-file", "operator-key-file"] as const;

/** One of them. */
export type KeyFlag = typeof keyFlags[number];

/** Longest key in characters. */
export const KEY_CHARACTERS_MAX = 1000;

/**
 * Reads the keys of the file that a flag names.
 *
 * @throws {SpecacheError} file; argument: a line is no key, which the sentence does not repeat
 */
export function readKeys(flags: Flags, flag: KeyFlag): string[] {
  const path = String(flags[flag]);
  const refuse = (what: string): never => {
    throw new SpecacheError("argument", `Cannot serve: --${flag} ${path}${what}`, {
      details: { path },
    });
  };
  const lines = readUserFile(flags, flag).split(/\r?\n/);
  const keys = lines.flatMap((line, at) => {
    if (line === "") return [];
    // What a header of HTTP can carry as one word.
    const other = line.search(/[^!-~]/);
    if (other !== -1) {
      return refuse(`, line ${at + 1}, character ${other + 1} is not visible ASCII`);
    }
    if (line.length > KEY_CHARACTERS_MAX) {
      return refuse(`, line ${at + 1} has ${line.length} characters, above ${KEY_CHARACTERS_MAX}`);
    }
    return [line];
  });
  return keys.length > 0 ? keys : refuse(" has no key; write one a line");
}
