// text.ts - the long real text that tasks hide facts in: State of the Union addresses (CC0).
// The model in models/needle was trained on other addresses, so this one is new to it.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { checkoutPath } from "./checkout.ts";

/** Folder of the addresses, from the root of the project. */
export const TEXT_FOLDER = "models/text";

/**
 * All shipped addresses, oldest first, as one text of about 190,000 characters.
 *
 * @throws {SpecacheError} unsupported: the published package has none
 */
export async function longText(): Promise<string> {
  const folder = checkoutPath(TEXT_FOLDER, "read the shipped texts");
  const files = (await readdir(folder)).filter((name) => name.endsWith(".txt")).sort();
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), "utf8")));
  return texts.join("\n");
}
