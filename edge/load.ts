// load.ts - how many requests run or wait at a host: as it told when it was asked, and what came
// and went from here since. A request that it told of is taken off when it ends here, once; one
// that it did not tell of never takes off another's.

/** Requests at one host. */
export class Load {
  /** Those that it told of, less those from here that ended since. */
  #told = 0;
  /** From here, oldest first: those among them, no more than these. */
  readonly #known = new Set<symbol>();
  /** From here: those that began since it was asked. */
  readonly #since = new Set<symbol>();

  /** Run or wait there, as far as is known. */
  get count(): number {
    return this.#told + this.#since.size;
  }

  /** Counts a request until what is answered is called; twice is fine. */
  begin(): () => void {
    const request = Symbol();
    this.#since.add(request);
    return () => {
      this.#since.delete(request);
      if (this.#known.delete(request)) this.#told--;
    };
  }

  /** To be called when the host is asked; what is answered takes what it tells. */
  ask(): (told: number) => void {
    const before = new Set(this.#since);
    return (told) => this.#hear(told, before);
  }

  // Those that began while it was asked are counted beside what it told: twice, perhaps, rather
  // than not at all. Those that began shortly before may have come there later than the question,
  // and count whatever it says. Of older ones it does not know more than it tells of.
  #hear(told: number, before: ReadonlySet<symbol>): void {
    let fresh = 0;
    for (const request of before) {
      if (!this.#since.delete(request)) continue; // it has ended
      this.#known.add(request);
      fresh++;
    }
    this.#told = Math.max(told, fresh);
    for (const request of this.#known) {
      if (this.#known.size <= this.#told) break;
      this.#known.delete(request);
    }
  }
}
