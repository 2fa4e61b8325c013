// plain.ts - texts to go on with, no question: prose and source code.
import { Draws } from "../draws.ts";
import { stretch, type Task, type TaskSource } from "./document.ts";

function goOn(task: string, of: (source: TaskSource) => readonly number[]): Task {
  return (source, { seed, tokens }) => {
    const begin = source.bos === null ? [] : [source.bos];
    const at = new Draws(seed).chance();
    const ids = [...begin, ...stretch(of(source), tokens - begin.length, at, task)];
    return { task, seed, ids, answers: null, answerTokens: 0, depth: null };
  };
}

/** Prose. */
export const text: Task = goOn("text", (source) => source.text);

/** Source code. */
export const code: Task = goOn("code", (source) => source.code);
