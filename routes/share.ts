// share.ts - who makes way where all is taken that tenants share: the one that has most of it, with
// what it has used least recently, so that none keeps the others out.

/** A part of what is shared. */
export interface Part {
  readonly tenant: string;
  /** How much it is. */
  readonly size: number;
  /** When it was used last, in seconds of any clock; null: it is at work, and makes no way. */
  readonly used: number | null;
}

/**
 * Parts that make way for `wanted` of a tenant, where `free` is free: each the least recently used
 * one of the tenant that then has most, as long as that is more than the one who asks would have.
 * null: there is not enough that may.
 */
export function makingWay<Known extends Part>(
  parts: readonly Known[],
  tenant: string,
  wanted: number,
  free: number,
): readonly Known[] | null {
  const sums = new Map<string, number>();
  const add = ({ tenant, size }: Part, sign: number) =>
    void sums.set(tenant, (sums.get(tenant) ?? 0) + sign * size);
  for (const part of parts) add(part, 1);
  const most = (sums.get(tenant) ?? 0) + wanted;
  const has = ({ tenant }: Part) => sums.get(tenant)!;
  const idle = parts.filter(({ used }) => used !== null).sort((a, b) => a.used! - b.used!);
  const way: Known[] = [];
  while (free < wanted) {
    const over = idle.filter((part) => !way.includes(part) && has(part) > most);
    if (over.length === 0) return null;
    const next = over.reduce((a, b) => has(b) > has(a) ? b : a);
    way.push(next);
    add(next, -1);
    free += next.size;
  }
  return way;
}
