// document.ts - a document of an evaluation: the same ids for every mode.
import { SpecacheError } from "../../engine/errors.ts";
import type { Codec } from "../secret.ts";

/** What documents are made of; made once for a model. */
export interface TaskSource {
  readonly codec: Codec;
  /** Tokens of real prose. */
  readonly text: readonly number[];
  /** Tokens of source code. */
  readonly code: readonly number[];
  /** The token that begins a text, or null. */
  readonly bos: number | null;
}

/** Size of one document and what it is drawn from. */
export interface DocumentOptions {
  readonly seed: number;
  /** Tokens in all. */
  readonly tokens: number;
}

/** One prompt, and what a right answer to it is. */
export interface EvalDocument {
  readonly task: string;
  readonly seed: number;
  readonly ids: readonly number[];
  /** What must be in the answer, each of them; null for tasks without an answer. */
  readonly answers: readonly string[] | null;
  /** Tokens that an answer takes at most. */
  readonly answerTokens: number;
  /** Place of the asked fact: 0 the beginning of the text, 1 its end; null without one. */
  readonly depth: number | null;
}

/** Makes one document. */
export type Task = (source: TaskSource, options: DocumentOptions) => EvalDocument;

/** Whether `generated` holds every answer, none of them as a part of a longer word or number. */
export function answered(generated: string, answers: readonly string[]): boolean {
  const words = new Set(generated.match(/[\p{L}\p{N}]+/gu));
  return answers.every((answer) => words.has(answer));
}

/** A run of `count` tokens from a place of `ids` that `at`, in [0, 1), names. */
export function stretch(ids: readonly number[], count: number, at: number, task: string): number[] {
  if (count < 1 || count > ids.length) {
    throw new SpecacheError(
      "argument",
      `Cannot make a document: task ${task} has room for ${count} tokens of text, outside ` +
        `1..${ids.length}`,
      { details: { task, count, textTokens: ids.length } },
    );
  }
  const start = Math.floor(at * (ids.length - count + 1));
  return ids.slice(start, start + count);
}
