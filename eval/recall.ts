// recall.ts - how many documents an engine recalls: each is read, and its answer is generated
// greedily.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Engine, type EngineOptions } from "../mod.ts";

/** A text that asks for something, as ids or as a prompt, and what a right answer is. */
export interface RecallDocument {
  readonly ids?: readonly number[];
  readonly prompt?: string;
  /** Whether the generated text is right. */
  recalled(generated: string): boolean;
}

/** Whether each document was recalled; far memory is in a file of the temporary folder. */
export async function recallOf(
  options: Omit<EngineOptions, "far">,
  documents: readonly RecallDocument[],
  maxTokens: number,
): Promise<boolean[]> {
  const folder = await mkdtemp(join(tmpdir(), "specache-"));
  try {
    await using engine = await Engine.open({ ...options, far: { file: join(folder, "far") } });
    const recalled: boolean[] = [];
    for (const { ids, prompt, recalled: right } of documents) {
      const { text } = await engine.generate({ ids, prompt, maxTokens }).result;
      recalled.push(right(text));
    }
    return recalled;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** How many are true. */
export function countOf(recalled: readonly boolean[]): number {
  return recalled.filter(Boolean).length;
}
