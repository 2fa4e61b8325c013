// filters.ts - which tokens may be drawn at all: top-k, then top-p, then min-p.
//   logits   (vocabulary)  f32
//
//   topK   the k tokens with the largest logits; of equal ones the lower ids
//   topP   of those the fewest, most probable first, whose probabilities (of those alone) reach p
//   minP   of those the ones at least minP times as probable as the most probable
//
// Probabilities are those at the request's temperature. The most probable token always remains.

/** Limits; 0, 1 and 0 take nothing away. */
export interface Filters {
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
}

/** Ids that remain, in no order, or null: all. `most` is the largest logit. */
export function remaining(
  logits: Float32Array,
  most: number,
  temperature: number,
  { topK, topP, minP }: Filters,
): Uint32Array | null {
  if (topK === 0 && topP === 1 && minP === 0) return null;
  let ids = possible(logits);
  if (topK > 0 && topK < ids.length) {
    ids = ids.subarray(0, leading(ids, logits, () => 1, topK));
  }
  const weight = (id: number) => Math.exp((logits[id] - most) / temperature);
  if (topP < 1) {
    const weights = new Float64Array(logits.length); // (vocabulary), of the ids that are left
    let sum = 0;
    for (const id of ids) sum += weights[id] = weight(id);
    ids = ids.subarray(0, leading(ids, logits, (id) => weights[id], topP * sum));
  }
  return minP === 0 ? ids : ids.filter((id) => weight(id) >= minP);
}

function possible(logits: Float32Array): Uint32Array {
  const ids = new Uint32Array(logits.length);
  let count = 0;
  for (let id = 0; id < logits.length; id++) if (logits[id] > -Infinity) ids[count++] = id;
  return ids.subarray(0, count);
}

// Moves ids with the largest logits to the front, and answers how many of them, at least one, it
// takes until their weights reach `limit`. A quickselect: most ids are looked at twice or thrice
// and never sorted, which for 100,000 of them would take longer than a step.
function leading(
  ids: Uint32Array,
  logits: Float32Array,
  weightOf: (id: number) => number,
  limit: number,
): number {
  const swap = (one: number, other: number) => {
    const id = ids[one];
    ids[one] = ids[other];
    ids[other] = id;
  };
  let taken = 0; // ids in front that are among them, of this weight
  let weight = 0;
  let end = ids.length; // from here on none is
  while (taken < end) {
    swap((taken + end) >>> 1, end - 1);
    const pivot = ids[end - 1];
    let middle = taken; // ids before the pivot, of this weight
    let before = weight;
    for (let at = taken; at < end - 1; at++) {
      const id = ids[at];
      const difference = logits[id] - logits[pivot];
      if (difference < 0 || difference === 0 && id > pivot) continue;
      before += weightOf(id);
      swap(at, middle++);
    }
    swap(middle, end - 1);
    if (before >= limit) {
      end = middle;
    } else {
      taken = middle + 1;
      weight = before + weightOf(pivot);
      if (weight >= limit) break;
    }
  }
  return Math.max(1, taken);
}
