// observed_steps.ts - what the watched steps of one text read, and sums of it that stay small
// however long the text is.
//   lists    [layers, kvHeads] lists of tokens a step
import { CELLS_MAX, COLUMNS_MAX, MOST_READ, type ObservedReads } from "./observation.ts";
import { PAGE_TOKENS } from "./prefixes.ts";
import type { Watched } from "./native.ts";

const STEPS_KEPT = 32; // with k 256 and 32 layers of 8 heads: some 10 MB

/** A step's lists, without the room that they leave. */
interface Step {
  readonly turn: number;
  readonly position: number;
  /** Tokens of each list [lists]. */
  readonly counts: Uint32Array;
  /** Of all lists, one behind the other. */
  readonly tokens: Uint32Array;
  /** As tokens: 0 its row was in a slot. */
  readonly sources: Uint8Array;
}

/** The last steps of one text that were watched. */
export class ObservedSteps {
  #steps: Step[] = [];

  /** Adds a step of this turn. */
  add(turn: number, { position, counts, tokens, sources }: Watched): void {
    const room = tokens.length / counts.length;
    const all = counts.reduce((sum, count) => sum + count, 0);
    const [packed, from] = [new Uint32Array(all), new Uint8Array(all)];
    let at = 0;
    for (const [list, count] of counts.entries()) {
      packed.set(tokens.subarray(list * room, list * room + count), at);
      from.set(sources.subarray(list * room, list * room + count), at);
      at += count;
    }
    this.#steps.push({ turn, position, counts, tokens: packed, sources: from });
    if (this.#steps.length > STEPS_KEPT) this.#steps.shift();
  }

  /** What steps of turns after `since` read; null: there are none. */
  reads(since: number, list: number | null): ObservedReads | null {
    const steps = this.#steps.filter(({ turn }) => turn > since);
    const newest = steps.at(-1);
    if (newest === undefined) return null;
    const { position, counts } = newest;
    const windowFrom = windowOf(position);
    const columnTokens = columnsOf(windowFrom, counts.length);
    return {
      ...{ steps: steps.length, position, windowFrom, columnTokens },
      ...sharesOf(steps, windowFrom, columnTokens),
      most: mostOf(steps, windowFrom, list),
    };
  }
}

// The first token that the input at `position` sees exactly: page p is codes where 64 (p + 1) + 64
// tokens are before it (DESIGN section 8).
function windowOf(position: number): number {
  return Math.max(0, Math.floor(position / PAGE_TOKENS) - 1) * PAGE_TOKENS;
}

// A power of two, so that a text that grows joins columns two by two.
function columnsOf(tokens: number, lists: number): number {
  const columns = Math.min(COLUMNS_MAX, Math.max(1, Math.floor(CELLS_MAX / lists)));
  let columnTokens = 1;
  while (columnTokens * columns < tokens) columnTokens *= 2;
  return columnTokens;
}

function sharesOf(
  steps: readonly Step[],
  windowFrom: number,
  columnTokens: number,
): Pick<ObservedReads, "shares" | "late"> {
  const lists = steps[0].counts.length;
  const columns = Math.ceil(windowFrom / columnTokens);
  const reads = new Uint32Array(lists * columns); // [lists, columns]
  const [rows, late] = [new Uint32Array(lists), new Uint32Array(lists)];
  for (const { counts, tokens, sources } of steps) {
    let at = 0;
    for (const [list, count] of counts.entries()) {
      rows[list] += count;
      for (const end = at + count; at < end; at++) {
        late[list] += Number(sources[at] !== 0);
        const column = Math.floor(tokens[at] / columnTokens);
        if (column < columns) reads[list * columns + column]++;
      }
    }
  }
  return {
    shares: Uint8Array.from(reads, (count, cell) => {
      const first = cell % columns * columnTokens;
      const tokens = Math.min(columnTokens, windowFrom - first);
      return Math.min(255, Math.ceil(255 * count / (tokens * steps.length)));
    }),
    late: Uint8Array.from(late, (count, list) => rows[list] && Math.ceil(255 * count / rows[list])),
  };
}

function mostOf(
  steps: readonly Step[],
  windowFrom: number,
  asked: number | null,
): ObservedReads["most"] {
  const [reads, late] = [new Uint32Array(windowFrom), new Uint32Array(windowFrom)]; // by token
  for (const { counts, tokens, sources } of steps) {
    let at = 0;
    for (const [list, count] of counts.entries()) {
      const end = at + count;
      if (asked !== null && list !== asked) at = end;
      for (; at < end; at++) {
        reads[tokens[at]]++;
        late[tokens[at]] += Number(sources[at] !== 0);
      }
    }
  }
  const read = Array.from(reads.keys()).filter((token) => reads[token] > 0);
  const most = read.sort((a, b) => reads[b] - reads[a] || a - b).slice(0, MOST_READ);
  return most.sort((a, b) => a - b).map((token) => [token, reads[token], late[token]] as const);
}
