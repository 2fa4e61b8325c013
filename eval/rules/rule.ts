// rule.ts - a code rule as data: in which basis the planes stand, how many there are and where,
// what centre and scale they are measured from. A rule of the cache is one for keys and one for
// values. encode.ts is the one place that reads them.

/** How one side, keys or values, is coded. */
export interface CodeRule {
  /**
   * `hadamard`; `channels`: none; `own`: eigenvectors of the head's covariance on the profile's
   * text; `paper`: quarter points and groups of 64, the rest of the rule is not read.
   */
  readonly basis: "hadamard" | "channels" | "own" | "paper";
  /** Planes of every channel. */
  readonly planes: number;
  /** Planes more, a channel, that go where they remove most of the variance. */
  readonly best?: number;
  /** `pairs`: `best` looks at query energy times key energy of a rope pair, not at variance. */
  readonly by?: "variance" | "pairs";
  /** Share of the heads, those whose keys stray most, that have a plane more a channel. */
  readonly worstHeads?: number;
  /** One scale for each token (8 bits), or for the page (16 bits). */
  readonly scale: "token" | "page";
  /** Tokens of a page: what a centre and its scales are of. */
  readonly page: number;
  /** Bits of a channel of the centre. */
  readonly centreBits: number;
  /** Directions of the head's queries along which each key is kept in 8 bits. */
  readonly directions?: number;
}

/** A rule of the cache. */
export interface Rule {
  readonly name: string;
  readonly keys: CodeRule;
  readonly values: CodeRule;
}

const hadamard = { basis: "hadamard", scale: "token", page: 64, centreBits: 8 } as const;
const own = { basis: "own", planes: 0, scale: "page", page: 64, centreBits: 8 } as const;
const paper = { ...hadamard, basis: "paper" } as const;

const one: CodeRule = { ...hadamard, planes: 1 };
const two: CodeRule = { ...hadamard, planes: 2 };
const tenth: CodeRule = { ...one, worstHeads: 0.1 };
const quarter: CodeRule = { ...own, best: 0.25 };

/** Every rule that was studied, by name: keys / values. */
export const rules: readonly Rule[] = [
  { name: "default: 2 / own .25", keys: two, values: quarter },
  { name: "compact: 1.1 / own .25", keys: tenth, values: quarter },
  { name: "no profile: 2 / 1", keys: two, values: one },
  { name: "paper 1 bit", keys: { ...paper, planes: 1 }, values: { ...paper, planes: 1 } },
  { name: "paper 2 bits", keys: { ...paper, planes: 2 }, values: { ...paper, planes: 2 } },
  // Values
  { name: "2 / own .125", keys: two, values: { ...own, best: 0.125 } },
  { name: "2 / own .375", keys: two, values: { ...own, best: 0.375 } },
  { name: "2 / own .5", keys: two, values: { ...own, best: 0.5 } },
  { name: "2 / own 1", keys: two, values: { ...own, best: 1 } },
  { name: "2 / own .25, token scale", keys: two, values: { ...quarter, scale: "token" } },
  { name: "2 / own .25, page 128", keys: two, values: { ...quarter, page: 128 } },
  { name: "2 / own .25, page 32", keys: two, values: { ...quarter, page: 32 } },
  { name: "2 / own .25, centre 4 bits", keys: two, values: { ...quarter, centreBits: 4 } },
  { name: "2 / centre alone", keys: two, values: { ...own, best: 0 } },
  // Keys
  { name: "1 / own .25", keys: one, values: quarter },
  { name: "3 / own .25", keys: { ...two, planes: 3 }, values: quarter },
  { name: "1.25 / own .25", keys: { ...one, worstHeads: 0.25 }, values: quarter },
  { name: "1.5 / own .25", keys: { ...one, worstHeads: 0.5 }, values: quarter },
  { name: "2.1 / own .25", keys: { ...two, worstHeads: 0.1 }, values: quarter },
  { name: "2 page scale / own .25", keys: { ...two, scale: "page" }, values: quarter },
  { name: "1.1 page scale / own .25", keys: { ...tenth, scale: "page" }, values: quarter },
  { name: "2 page 128 / own .25", keys: { ...two, page: 128 }, values: quarter },
  { name: "2 centre 4 bits / own .25", keys: { ...two, centreBits: 4 }, values: quarter },
  { name: "1 + 1 direction / own .25", keys: { ...one, directions: 1 }, values: quarter },
  { name: "1 + 4 directions / own .25", keys: { ...one, directions: 4 }, values: quarter },
  { name: "1.1 + 2 directions / own .25", keys: { ...tenth, directions: 2 }, values: quarter },
  {
    name: "1 + .25 by rope pair / own .25",
    keys: { ...one, basis: "channels", best: 0.25, by: "pairs" },
    values: quarter,
  },
  {
    name: "1 + 1 by rope pair / own .25",
    keys: { ...one, basis: "channels", best: 1, by: "pairs" },
    values: quarter,
  },
  { name: "own 1 + .25 / own .25", keys: { ...one, basis: "own", best: 0.25 }, values: quarter },
  { name: "own 1 / own .25", keys: { ...one, basis: "own" }, values: quarter },
  { name: "own 1 + .125 / own .25", keys: { ...one, basis: "own", best: 0.125 }, values: quarter },
  {
    name: "own 1 + .125 page scale / own .25",
    keys: { ...one, basis: "own", best: 0.125, scale: "page" },
    values: quarter,
  },
  {
    name: "own 1 + .125, tenth more / own .25",
    keys: { ...tenth, basis: "own", best: 0.125 },
    values: quarter,
  },
  { name: "own 2 / own .25", keys: { ...two, basis: "own" }, values: quarter },
  { name: "own 1 + 1 / own .25", keys: { ...one, basis: "own", best: 1 }, values: quarter },
];

/** Bits a number, all parameters counted; `headDim` channels. */
export function bitsOf(rule: CodeRule, headDim: number): number {
  const { planes, best = 0, worstHeads = 0, scale, page, centreBits, directions = 0 } = rule;
  if (rule.basis === "paper") return planes + 32 / 64; // fp16 zero and scale for each 64
  const ofToken = (scale === "token" ? 8 : 0) + 8 * directions;
  const ofPage = centreBits * headDim + 32; // two fp16: of the centre, of the scales
  return planes + best + worstHeads + ofToken / headDim + ofPage / (page * headDim);
}
