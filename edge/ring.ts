// ring.ts - consistent hashing: hosts lie on a ring of 2^32 places, each at many of them, and a key
// belongs to the first host at or after its place. A host that comes or goes moves the keys of its
// own arcs and no others.

// Of one host. The shares of two hosts then differ by about 1 / sqrt(POINTS), 9 %.
const POINTS = 128;

const encoder = new TextEncoder();

interface Point {
  /** Place on the ring, u32. */
  readonly at: number;
  /** Index of the host. */
  readonly host: number;
}

/** Hosts on a ring. */
export class Ring {
  readonly #points: readonly Point[];
  readonly #hosts: number;

  /** A host lies where its name says, whatever the others are. */
  constructor(names: readonly string[]) {
    this.#hosts = names.length;
    this.#points = names
      .flatMap((name, host) =>
        Array.from({ length: POINTS }, (_, i) => ({ at: hashOf(`${name} ${i}`), host }))
      )
      .sort((a, b) => a.at - b.at || a.host - b.host);
  }

  /** Indices of all hosts, each once, in the order in which they lie from the key's place on. */
  from(key: number): number[] {
    // Behind the last point the ring begins again.
    const first = Math.max(0, this.#points.findIndex(({ at }) => at >= key));
    const points = [...this.#points.slice(first), ...this.#points.slice(0, first)];
    const order = new Set<number>();
    for (const { host } of points) {
      order.add(host);
      if (order.size === this.#hosts) break;
    }
    return [...order];
  }
}

/** A number, u32, of bytes or a text: FNV-1a, its bits mixed at the end as MurmurHash3 does. */
export function hashOf(data: Uint8Array | string, seed = 0): number {
  const bytes = typeof data === "string" ? encoder.encode(data) : data;
  let hash = 0x811c9dc5 ^ seed;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
