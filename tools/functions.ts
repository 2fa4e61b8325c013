// functions.ts - how long the functions of a TypeScript or C++ source are, told from its braces.
// A heuristic: a brace after a parameter list, an arrow or a lambda's brackets opens a function.

/** Where a function begins and how many lines it has, braces and head included. */
export interface FunctionLines {
  /** From 1. */
  readonly line: number;
  readonly lines: number;
}

// Comments, strings and regular expressions, whose braces do not count. A regular expression stands
// only where a value may begin; a quote between digits separates them in C++.
const CODE_FREE = new RegExp(
  [
    /\/\/[^\n]*/,
    /\/\*[\s\S]*?\*\//,
    /R"\([\s\S]*?\)"/,
    /"(?:\\.|[^"\\\n])*"/,
    /(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])*'/,
    /`(?:\\[\s\S]|[^`\\])*`/,
    /(?<=(?:[(,=:[!&|?{};]|\breturn)\s*)\/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\//,
  ].map(({ source }) => source).join("|"),
  "g",
);

const CONTROL = new Set(["if", "for", "while", "switch", "catch", "with", "constexpr"]);
const TYPE_AFTER = /\)\s*(?::|->)\s*[\w\s<>[\]|&.,*:]+$/; // a result's type
const WORDS_AFTER = /\)(?:\s*(?:const|noexcept|override|final|mutable))+\s*$/;

/** The functions of `source`, in the order of their ends. */
export function functionLines(source: string): FunctionLines[] {
  const text = source.replace(CODE_FREE, (part) => part.replace(/[^\n]/g, " "));
  const starts: (number | null)[] = []; // of each open brace, where its function begins
  const found: FunctionLines[] = [];
  const lineOf = (at: number) => text.slice(0, at).split("\n").length;
  for (const { 0: brace, index } of text.matchAll(/[{}]/g)) {
    if (brace === "{") {
      starts.push(functionStart(text.slice(0, index)));
      continue;
    }
    const start = starts.pop() ?? null;
    if (start === null) continue;
    const line = lineOf(start);
    found.push({ line, lines: lineOf(index) - line + 1 });
  }
  return found;
}

/** Where the function begins whose brace follows `before`, or null if it opens none. */
function functionStart(before: string): number | null {
  // No head is longer; a whole file would make the patterns below slow.
  const offset = Math.max(0, before.length - 2000);
  const head = before.slice(offset).trimEnd();
  if (head.endsWith("=>")) return offset + head.length - 1;
  if (/(?:^|[\s(,=])\[[^[\]]*\]$/.test(head)) return offset + head.length - 1;
  const after = head.match(TYPE_AFTER) ?? head.match(WORDS_AFTER);
  const close = after?.index ?? head.length - 1;
  if (head[close] !== ")") return null;
  const open = matchingOpen(head, close);
  if (open === null) return null;
  const word = head.slice(0, open).match(/(\w+)\s*$/)?.[1] ?? "";
  return CONTROL.has(word) ? null : offset + open;
}

function matchingOpen(text: string, close: number): number | null {
  let depth = 0;
  for (let at = close; at >= 0; at--) {
    if (text[at] === ")") depth++;
    if (text[at] === "(" && --depth === 0) return at;
  }
  return null;
}
