// pareto.ts - the Pareto front: what nothing else beats in both of two quantities.

/** Two quantities of which less is better. */
export interface Tradeoff {
  readonly cost: number;
  readonly loss: number;
}

/**
 * Indices of the points on the Pareto front, by rising cost, then by index. A point is on it
 * unless another is at most as large in both quantities and less in one: equal points stay
 * together. Points with a quantity that is not finite are left out.
 */
export function paretoFront(points: readonly Tradeoff[]): number[] {
  const order = [...points.keys()]
    .filter((index) => Number.isFinite(points[index].cost) && Number.isFinite(points[index].loss))
    .sort((a, b) => points[a].cost - points[b].cost || points[a].loss - points[b].loss || a - b);
  const front: number[] = [];
  for (const index of order) {
    const last = front.at(-1);
    const { cost, loss } = points[index];
    const equal = last !== undefined && points[last].cost === cost && points[last].loss === loss;
    // By rising cost, the last of the front has the least loss so far.
    if (last === undefined || equal || loss < points[last].loss) front.push(index);
  }
  return front;
}
