// reports.ts - a small made-up evaluation, and a strict reader of the page made of it.
import type { EvalReport, EvalRow, Interval } from "../../eval/rows.ts";

/** A report of two tasks, two lengths and three modes; most numbers occur once. */
export function smallReport(): EvalReport {
  const number = counter();
  const rows = ["needle", "text"].flatMap((task) =>
    [512, 2048].flatMap((tokens) =>
      ["full", "paper", "specache"].map((mode) => {
        return rowOf(task, tokens, mode, number);
      })
    )
  );
  const places = rows.filter(({ task }) => task === "needle").map(({ task, mode, tokens }) => ({
    ...{ task, mode, tokens, depth: number(), recalled: mode !== "paper", klMean: number() },
  }));
  const heads = [0, 1, 2].flatMap((layer) =>
    [0, 1].map((head) => ({
      ...{ mode: "specache", layer, head, mass: number(), lostMass: number() },
      outputError: number(),
    }))
  );
  return { model: "tiny", seed: 3, rows, places, heads };
}

function rowOf(task: string, tokens: number, mode: string, number: () => number): EvalRow {
  const full = mode === "full";
  const recalls = task === "needle";
  const ends = (): Interval => ({ low: number(), high: number() });
  const unlessFull = () => full ? null : number();
  return {
    ...{ task, tokens, mode, n: 7 },
    recall: recalls ? number() : null,
    recallLost: recalls ? number() : null,
    ...{ klMean: full ? 0 : number(), klP99: number(), klMax: number(), top1: number() },
    ...{ perplexity: 1 + number(), guessRight: unlessFull() },
    guessRightBySource: { chain: unlessFull(), lookup: unlessFull() },
    ...{ mass: unlessFull(), lostMass: unlessFull(), ratio: number() },
    ...{ nearBytes: 1e6 * (1 + number()), tokensPerStep: 1 + number() },
    ...{ prefetchedRows: full ? 0 : 40 * number(), lateRows: full ? 0 : 9 * number() },
    intervals: {
      recall: recalls ? ends() : null,
      recallLost: recalls ? ends() : null,
      ...{ klMean: ends(), top1: ends(), perplexity: ends() },
    },
  };
}

// Numbers between 0 and 1, all different.
function counter(): () => number {
  let drawn = 0;
  return () => ++drawn * 0.6180339887 % 1;
}

/** All numbers of a value, however deep, but for those under the names left out. */
export function numbersIn(value: unknown, left: readonly string[]): number[] {
  if (typeof value === "number") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    left.includes(name) ? [] : numbersIn(inner, left)
  );
}

/**
 * What is wrong with a page as XML: tags that do not match, attributes without quotes or twice,
 * characters that ought to be escaped, an id twice. A document type may stand first.
 */
export function faultsOf(page: string): string[] {
  const tag = /<(\/?)([A-Za-z][\w-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/y;
  const text = /(?:[^<>&]|&(?:amp|lt|gt|quot|#39);)+/y;
  const faults: string[] = [];
  const open: string[] = [];
  const ids = new Set<string>();
  let at = page.startsWith("<!DOCTYPE html>") ? 15 : 0;
  while (at < page.length) {
    const inStyle = open.at(-1) === "style";
    const pattern = page[at] === "<" ? tag : inStyle ? /[^<&]+/y : text;
    pattern.lastIndex = at;
    const match = pattern.exec(page);
    if (match === null) return [...faults, `not XML: ${page.slice(at, at + 60)}`];
    at += match[0].length;
    if (pattern !== tag) continue;
    const [, closing, name, attributes, empty] = match;
    const given = [...attributes.matchAll(/([\w:-]+)="([^"]*)"/g)];
    if (new Set(given.map(([, key]) => key)).size < given.length) faults.push(`twice: ${match[0]}`);
    for (const [, key, value] of given) {
      if (/&(?!(?:amp|lt|gt|quot|#39);)/.test(value)) faults.push(`not escaped: ${value}`);
      if (key === "id" && ids.has(value)) faults.push(`id ${value} twice`);
      if (key === "id") ids.add(value);
    }
    if (closing && open.pop() !== name) faults.push(`</${name}> closes what is not open`);
    if (!closing && !empty) open.push(name);
  }
  return [...faults, ...open.map((name) => `<${name}> stays open`)];
}
