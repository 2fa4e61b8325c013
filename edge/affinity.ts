// affinity.ts - which requests belong to one host: those that begin alike, so that the host can
// reuse what it read of the first one.
import type { GenerateOptions } from "../engine/config_generate.ts";
import { hashOf } from "./ring.ts";

/** Bytes of a request's beginning that are looked at. */
export const AFFINITY_BYTES = 1024;

/** A request of fewer bytes fills no page of 64 tokens: no host has anything of it to reuse. */
export const AFFINITY_BYTES_MIN = 256;

const encoder = new TextEncoder();

/**
 * A number, u32, that requests with the same beginning and salt share; null: too short to matter.
 * Of messages the beginning ends with the first one of the user, so that all turns of a
 * conversation share it.
 */
export function affinityOf(options: GenerateOptions): number | null {
  if (!isLong(options)) return null;
  const bytes = encoder.encode(openingOf(options)).subarray(0, AFFINITY_BYTES);
  return hashOf(bytes, hashOf(options.salt ?? ""));
}

function isLong({ prompt = "", ids = [], messages = [] }: GenerateOptions): boolean {
  const characters = messages.reduce((sum, { content }) => sum + lengthOf(content), 0);
  // A token has about 4 bytes.
  return prompt.length + 4 * ids.length + characters >= AFFINITY_BYTES_MIN;
}

const lengthOf = (content: unknown) => typeof content === "string" ? content.length : 0;

function openingOf({ prompt, ids, messages = [] }: GenerateOptions): string {
  if (prompt !== undefined) return prompt.slice(0, AFFINITY_BYTES);
  if (ids !== undefined) return ids.slice(0, AFFINITY_BYTES / 4).join(" ");
  const first = messages.findIndex(({ role }) => role === "user");
  const opening = messages.slice(0, first < 0 ? 1 : first + 1);
  return opening.map(({ role, content }) => `${role} ${content}\n`).join("");
}
