// checkout.ts - files of the project that the published package leaves out.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { SpecacheError } from "../engine/errors.ts";

/**
 * The path of a file or folder of the project, by its name from the root.
 *
 * @throws {SpecacheError} unsupported: this is the published package, or a part of the project
 */
export function checkoutPath(name: string, action: string): string {
  const url = new URL(`../${name}`, import.meta.url);
  if (url.protocol === "file:" && existsSync(url)) return fileURLToPath(url);
  throw new SpecacheError(
    "unsupported",
    `Cannot ${action}: ${name} is not in the published package; run it in a checkout of specache`,
    { details: { name, url: url.href } },
  );
}
