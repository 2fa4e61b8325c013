// sessions.ts - /v1/sessions: texts that grow over several requests. A session belongs to the
// tenant that made it, and is closed when it was idle for long, or makes way for another tenant's.
import { type Context, Hono } from "hono";
import { tokenCount } from "../engine/config.ts";
import type { SessionOptions } from "../engine/config_generate.ts";
import { SpecacheError } from "../engine/errors.ts";
import { parse } from "../engine/parse.ts";
import type { CacheStats } from "../engine/stats.ts";
import type { Generates } from "./begin.ts";
import { checkEmpty } from "./empty.ts";
import type { ServedSession } from "./engine.ts";
import { answerGeneration } from "./generate_answer.ts";
import { appendRequestOf, generateRequestOf } from "./generate_request.ts";
import { type Entry, Held } from "./held.ts";
import { tenantOf } from "./keys.ts";
import { leaving } from "./leaving.ts";
import { only } from "./methods.ts";
import { ownerOf } from "./owner.ts";
import { type AnswerParts, bodyOf } from "./parts.ts";
import { makingWay, type Part } from "./share.ts";

/** What the routes work with. */
export interface SessionParts extends AnswerParts {
  /** Seconds that a session may be idle. */
  readonly idleSeconds: number;
  /** Sessions at most; left out: one less than the engine's places, and at least one. */
  readonly sessionsMax?: number;
}

interface Open {
  readonly session: ServedSession;
  /** As they were last told. */
  stats: CacheStats;
}

/** GET: a list; POST: a new one; below its id what it does. */
export function sessionRoutes(parts: SessionParts): Hono {
  const held = new Held<Open>({ what: "session", ...parts });
  const opener = new Opener(held, parts);
  const sessions = new Hono();
  sessions.get("/", async (c) => {
    const tenant = ownerOf(c);
    const data = [];
    for (const entry of held.of(tenant)) {
      const one = await told(entry).catch((error) => {
        if (held.has(entry)) throw error; // else it was closed meanwhile
      });
      if (one !== undefined) data.push(one);
    }
    return c.json({ data });
  });
  sessions.post("/", async (c) => {
    checkEmpty("create a session", await bodyOf(c, parts));
    return await opener.open(c, (place) => parts.engine.session(place));
  });
  sessions.all("/", only("GET", "POST"));
  sessions.get("/:id", async (c) => c.json(await told(held.get(ownerOf(c), c.req.param("id")))));
  sessions.delete("/:id", async (c) => {
    const { id } = held.get(ownerOf(c), c.req.param("id"));
    await held.remove(ownerOf(c), id);
    return c.json({ id, deleted: true });
  });
  sessions.all("/:id", only("GET", "DELETE"));
  sessions.post("/:id/append", async (c) => {
    const options = appendRequestOf(await bodyOf(c, parts));
    const left = leaving(c.req.raw.signal);
    const asked = { ...options, signal: left.signal };
    return await using(c, held, ({ session }) => session.append(asked), left);
  });
  sessions.post("/:id/truncate", async (c) => {
    const { tokens } = parse(tokenCount, await bodyOf(c, parts), "truncate a session");
    return await using(c, held, ({ session }) => session.truncate(tokens));
  });
  sessions.post("/:id/fork", async (c) => {
    checkEmpty("fork a session", await bodyOf(c, parts));
    const left = leaving(c.req.raw.signal);
    const fork = ({ session }: Open) => opener.open(c, (place) => session.fork(place), left);
    return await held.use(ownerOf(c), c.req.param("id"), fork, left);
  });
  sessions.post("/:id/generate", async (c) => generate(c, held, parts, await bodyOf(c, parts)));
  for (const name of ["append", "generate", "fork", "truncate"]) {
    sessions.all(`/:id/${name}`, only("POST"));
  }
  return sessions;
}

// The session is the request's own until the generation has ended, which may be after the client
// has read the last of it, or left.
async function generate(
  c: Context,
  held: Held<Open>,
  parts: SessionParts,
  body: Readonly<Record<string, unknown>>,
): Promise<Response> {
  const request = generateRequestOf(body);
  const left = leaving(c.req.raw.signal);
  const entry = held.enter(ownerOf(c), c.req.param("id")!, left);
  const { session } = entry.item;
  const leave = () => held.leave(entry);
  let begun = false;
  const from: Generates = {
    generate(options) {
      const run = session.generate(options);
      run.result.then(leave, leave);
      begun = true;
      return run;
    },
  };
  const more = () => ({ length: session.length });
  try {
    return await answerGeneration(c, request, { ...parts, from, more }, left);
  } catch (error) {
    if (!begun) leave();
    throw error;
  }
}

async function using(
  c: Context,
  held: Held<Open>,
  body: (open: Open) => Promise<void>,
  stop: AbortController | null = null,
): Promise<Response> {
  return c.json(
    await held.use(ownerOf(c), c.req.param("id")!, async (open, entry) => {
      await body(open);
      return await told(entry, true);
    }, stop),
  );
}

// Opens sessions, as many as may be; where all are, one of the tenant that has most makes way for
// one that has fewer.
class Opener {
  readonly #held: Held<Open>;
  readonly #parts: SessionParts;
  readonly #opening: Part[] = [];

  constructor(held: Held<Open>, parts: SessionParts) {
    this.#held = held;
    this.#parts = parts;
  }

  /** Answers by what `make` makes; it is given up where `left` is aborted, or the server closes. */
  async open(
    c: Context,
    make: (place: SessionOptions) => Promise<ServedSession>,
    left: AbortController = leaving(c.req.raw.signal),
  ): Promise<Response> {
    this.#held.checkOpen();
    const { sessionsMax } = await this.#parts.engine.stats();
    const own: Part = { tenant: ownerOf(c), size: 1, used: null };
    const way = this.#wayFor(own, sessionsMax);
    this.#opening.push(own); // at once: who else asks counts it
    let entry: Entry<Open>;
    try {
      await Promise.all(way.map((each) => this.#held.evict(each)));
      entry = await this.#added(left.signal, own.tenant, await this.#made(c, make, left));
    } finally {
      this.#opening.splice(this.#opening.indexOf(own), 1);
    }
    return c.json(await told(entry), 201, { Location: `/v1/sessions/${entry.id}` });
  }

  async #made(
    c: Context,
    make: (place: SessionOptions) => Promise<ServedSession>,
    left: AbortController,
  ): Promise<ServedSession> {
    const { closing } = this.#parts;
    const giveUp = () => left.abort();
    closing?.addEventListener("abort", giveUp, { once: true });
    try {
      return await make({ client: tenantOf(c).client, signal: left.signal });
    } catch (error) {
      this.#held.checkOpen(); // closing is why it was given up
      throw error;
    } finally {
      closing?.removeEventListener("abort", giveUp);
    }
  }

  // Who forgets sessions must not keep all others from generating: a place stays free of them.
  #wayFor({ tenant }: Part, places: number): Entry<Open>[] {
    const most = this.#parts.sessionsMax ?? Math.max(1, places - 1);
    const held = this.#held.all.map((entry) => ({
      ...{ entry, tenant: entry.tenant, size: 1, used: entry.rested },
    }));
    const opening = this.#opening.map((part) => ({ ...part, entry: null }));
    const open = held.length + opening.length;
    const way = makingWay([...held, ...opening], tenant, 1, most - open);
    if (way !== null) return way.flatMap(({ entry }) => entry ?? []);
    const sentence = `Cannot open a session: ${open} are open, and the server has ${most}`;
    throw new SpecacheError("capacity", sentence, { details: { open, sessionsMax: most } });
  }

  // A client that left while its session was opened will never know of it.
  async #added(
    left: AbortSignal,
    tenant: string,
    session: ServedSession,
  ): Promise<Entry<Open>> {
    try {
      const stats = await session.stats();
      if (left.aborted) {
        this.#held.checkOpen();
        throw new SpecacheError("cancelled", "Cannot answer: the client has left");
      }
      return this.#held.add(tenant, { session, stats }, () => session.close());
    } catch (error) {
      await session.close();
      throw error;
    }
  }
}

// A session at work tells what it held before.
async function told(entry: Entry<Open>, own = false): Promise<object> {
  const { id, created, expires, busy, item } = entry;
  if (!busy || own) item.stats = await item.session.stats();
  const { stats, session } = item;
  const { nearBytes: near, farBytes: far, fullBytes: full } = stats;
  const bytes = { near, far, full };
  return { id, created, expires, busy: busy && !own, length: session.length, bytes, stats };
}
