// race.ts - draws one of many tokens with random numbers of (seed, position, token) alone.
//
// A race: token i arrives at E_i / weight_i, E_i exponential, and the first one is drawn, which is
// i with probability weight_i / sum. Every token has a number of its own, so that logits that
// differ a little nearly always draw the same one: a guess is right at least as often as (1 - d) /
// (1 + d), d the distance of the two distributions. One number against cumulated probabilities
// would have each token's error move all tokens behind it. For the same reason a token that a
// filter takes out of the race changes nobody else's number.

/** What a race is run with. */
export interface Race {
  /** Logits (vocabulary), of which `most` is the largest. */
  readonly logits: Float32Array;
  readonly most: number;
  /** Above 0. */
  readonly temperature: number;
  /** The ids that take part, or null: all. */
  readonly ids: Uint32Array | null;
}

// Far above the error of a logarithm and a product of doubles, far below what a bit decides.
const ROUNDING = 1e-6;

/** Draws a token with probability proportional to exp(logit / temperature). */
export function race({ logits, most, temperature, ids }: Race, random: bigint): number {
  const [low, high] = [Number(BigInt.asIntN(32, random)), Number(BigInt.asIntN(32, random >> 32n))];
  const bits = Math.LOG2E / temperature; // of a weight, by a logit
  const count = ids?.length ?? logits.length;
  let first = Infinity;
  let drawn = 0;
  let firstBits = Infinity; // log2(first), rounded up
  for (let at = 0; at < count; at++) {
    const id = ids === null ? at : ids[at];
    const below = logits[id] - most;
    const upper = hashed(id ^ low, high);
    // -log(u) is at least 1 - u: most tokens are late already by the upper bits of their number,
    // and of those most by its highest bit, so that nobody needs their weight.
    if (upper !== -1 && -1 - Math.clz32(~upper) >= firstBits + below * bits) continue;
    const weight = Math.exp(below / temperature);
    if ((~upper >>> 0) / 2 ** 32 >= first * weight) continue;
    const lower = hashed(id ^ high, low) >>> 11;
    const arrival = -Math.log(((upper >>> 0) * 2 ** 21 + lower + 0.5) / 2 ** 53) / weight;
    if (arrival < first) {
      first = arrival;
      firstBits = Math.log2(first) + ROUNDING;
      drawn = id;
    }
  }
  return drawn;
}

/** The random number, in [0, 1), of a position: splitmix64 read at that index of its sequence. */
export function randomOf(seed: number, position: number): number {
  return Number(wordOf(seed, position) >> 11n) / 2 ** 53; // the upper 53 bits: a double's mantissa
}

/** The 64 random bits of a position. */
export function wordOf(seed: number, position: number): bigint {
  return mixed(BigInt.asUintN(64, mixed(BigInt(seed)) + BigInt(position + 1) * GOLDEN));
}

const GOLDEN = 0x9e3779b97f4a7c15n; // 2^64 / golden ratio, odd: steps through all 2^64 states

function mixed(state: bigint): bigint {
  let word = state;
  word = BigInt.asUintN(64, (word ^ (word >> 30n)) * 0xbf58476d1ce4e5b9n);
  word = BigInt.asUintN(64, (word ^ (word >> 27n)) * 0x94d049bb133111ebn);
  return word ^ (word >> 31n);
}

// 32 bits, as a signed number, of a word and a key, each of them a function of all (Murmur3's last
// mix, twice).
function hashed(word: number, key: number): number {
  return mixedWord(mixedWord(word, key), key);
}

function mixedWord(word: number, key: number): number {
  let x = word;
  x = Math.imul(x ^ x >>> 16, 0x85ebca6b);
  x = Math.imul(x ^ x >>> 13, 0xc2b2ae35);
  return (x ^ x >>> 16) + key | 0;
}
