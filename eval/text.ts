// text.ts - the long real text that tasks hide facts in: State of the Union addresses (CC0).
// The model in models/needle was trained on other addresses, so this one is new to it.

import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

const folder = fileURLToPath(new URL("../models/text", import.meta.url));

/** All shipped addresses, oldest first, as one text of about 190,000 characters. */
export async function longText(): Promise<string> {
  const files = (await readdir(folder)).filter((name) => name.endsWith(".txt")).sort();
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), "utf8")));
  return texts.join("\n");
}
