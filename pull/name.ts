// name.ts - names of models that are pulled: an alias of ours, or owner/model[@revision] of a hub.
// A name becomes folders of the cache, so only what the hub itself allows passes.

/** What a name stands for. */
export interface ModelName {
  /** As `models` lists it; @main is left out. */
  readonly text: string;
  /** Below the folder of models, with / between its parts. */
  readonly folder: string;
  /** Null: an alias, which comes as a Python package. */
  readonly hub: { readonly repo: string; readonly revision: string } | null;
}

/** The aliases, all of Python packages. */
export const ALIASES: readonly string[] = ["smollm2-135m-instruct"];

const NAME = /^([^/@]+)\/([^/@]+)(?:@([^@]+))?$/;
const PART = /^[A-Za-z0-9](?:[\w.-]*\w)?$/;
const PART_MAX = 96; // characters, as the hub has it
const REVISION = /^\w[\w./+-]*$/;
const REVISION_MAX = 100; // characters; a folder's name takes 255 bytes

/** What `text` names, or null where it is no name. */
export function parseModelName(text: string): ModelName | null {
  if (ALIASES.includes(text)) return { text, folder: `alias/${text}`, hub: null };
  const [, owner, model, revision = "main"] = text.match(NAME) ?? [];
  if (!isPart(owner) || !isPart(model) || !isRevision(revision)) return null;
  const repo = `${owner}/${model}`;
  const at = revision === "main" ? "" : `@${revision}`;
  const folder = `hub/${repo}${at.replaceAll("/", "%2F")}`; // % is in no name
  return { text: repo + at, folder, hub: { repo, revision } };
}

function isPart(part: string | undefined): boolean {
  if (part === undefined || part.length > PART_MAX || !PART.test(part)) return false;
  return !part.includes("--") && !part.includes("..");
}

function isRevision(revision: string): boolean {
  return revision.length <= REVISION_MAX && REVISION.test(revision) && !revision.includes("..");
}
