// release.ts - `deno run -A tools/release.ts TAG`: refuses a release whose tag is not the version
// of deno.json, or whose changes are not told.
import { readFileSync } from "node:fs";
import process from "node:process";

/** What keeps a tag from being released, a sentence each. */
export function releaseFaults(
  tag: string | undefined,
  version: string,
  changelog: string,
): string[] {
  const faults: string[] = [];
  if (tag !== `v${version}`) {
    faults.push(`Cannot release: tag ${tag} is not v${version}, of deno.json's version`);
  }
  if (!changelog.split("\n").includes(`## ${version}`)) {
    faults.push(`Cannot release: CHANGELOG.md has no heading ## ${version}`);
  }
  return faults;
}

if (import.meta.main) {
  const { version } = JSON.parse(readFileSync("deno.json", "utf8"));
  const faults = releaseFaults(process.argv[2], version, readFileSync("CHANGELOG.md", "utf8"));
  for (const fault of faults) console.error(fault);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
