// trained.ts - the tasks that models/needle was trained for, by eval/needle.ts: facts in real text,
// asked at the end.
import { needleDocument, type NeedleSource } from "../needle.ts";
import type { Task, TaskSource } from "./document.ts";

const FACTS = { needle: 1, multikey: 16 } as const;

/** A document with one fact, or with 16 of which three in ten share a word with another. */
export function trained(task: keyof typeof FACTS, words: NeedleSource["words"]): Task {
  return (source: TaskSource, { seed, tokens }) => {
    const { codec, text, bos } = source;
    const { ids, answer, depth } = needleDocument(
      { encoder: codec, text, words, bos: bos ?? 0 },
      { seed, tokens, facts: FACTS[task], values: "numbers" },
    );
    return { task, seed, ids, answers: [answer], answerTokens: 8, depth };
  };
}
