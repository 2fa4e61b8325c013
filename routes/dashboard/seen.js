// seen.js - all that the page knows: events, added up. What was read fades: after as many steps as
// FADE_STEPS half of it is left.

const TURNS_KEPT = 256;
const FADE_STEPS = 16;

function fadeOf(steps) {
  return 0.5 ** (steps / FADE_STEPS);
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** What was seen of a server. */
export class Seen {
  /** The last event. */
  event = null;
  /** The last turns, oldest first. */
  turns = [];
  /** The watched request's text; null: none was seen. */
  text = null;

  /** Adds an event. */
  take(event) {
    this.event = event;
    const { observation } = event;
    if (observation === null) return;
    const newest = this.turns.at(-1)?.turn ?? 0;
    if (observation.turn < newest) this.turns = []; // another engine
    const added = observation.turns.filter(({ turn }) => turn > (this.turns.at(-1)?.turn ?? 0));
    this.turns = [...this.turns, ...added].slice(-TURNS_KEPT);
    const { watched } = observation;
    if (watched === null) return;
    if (this.text?.ticket !== watched.ticket || watched.length < this.text.tokens.length) {
      this.text = new Text(watched.ticket, observation);
    }
    this.text.take(watched);
  }

  /** Guesses of the last turns. */
  get guesses() {
    const sum = (name) => this.turns.reduce((all, { guess }) => all + guess[name], 0);
    return { made: sum("made"), right: sum("right") };
  }

  /** Tokens a second of the last turns, while they make any. */
  get speed() {
    const now = this.event?.observation?.nowMs;
    const last = this.turns.filter(({ startMs }) => startMs > now - 3000);
    const tokens = last.reduce((sum, turn) => sum + turn.tokens, 0);
    return last.length === 0 ? null : tokens * 1000 / (now - last[0].startMs);
  }
}

/** A text, and how much each token and column was read. */
class Text {
  ended = null;
  length = 0;
  tokens = [];
  /** Why its steps cannot be watched. */
  unwatched = null;
  /** First token that is always exact; null: no step was seen. */
  windowFrom = null;
  columnTokens = 1;
  columns = 0;
  /** Share of its tokens that a step reads [lists, columns]. */
  shares = new Float32Array(0);
  /** Share of each list's rows that were in no slot [lists]. */
  late = new Float32Array(0);
  /** Of each token, reads a step, and those that were in no slot. */
  reads = new Float32Array(0);
  lateReads = new Float32Array(0);

  constructor(ticket, { layers, kvHeads, slots }) {
    this.ticket = ticket;
    this.inPlace = slots === 0;
    this.lists = layers * kvHeads;
    this.late = new Float32Array(this.lists);
  }

  take({ ended, length, from, tokens, unwatched, reads }) {
    Object.assign(this, { ended, length, unwatched });
    for (const [at, token] of tokens.entries()) this.tokens[from + at] = token;
    if (reads !== null) this.#read(reads);
  }

  /** Forgets how much tokens were read: other lists are asked for. */
  forgetReads() {
    this.reads.fill(0);
    this.lateReads.fill(0);
  }

  #read({ steps, windowFrom, columnTokens, shares, late, most }) {
    this.#widen(columnTokens, Math.ceil(windowFrom / columnTokens));
    this.windowFrom = windowFrom;
    const fade = fadeOf(steps);
    const told = bytesOf(shares);
    for (let cell = 0; cell < told.length; cell++) {
      this.shares[cell] += (told[cell] / 255 - this.shares[cell]) * (1 - fade);
    }
    const lateTold = bytesOf(late);
    for (let list = 0; list < this.lists; list++) this.late[list] = lateTold[list] / 255;
    if (this.reads.length < windowFrom) {
      this.reads = grown(this.reads, windowFrom);
      this.lateReads = grown(this.lateReads, windowFrom);
    }
    for (let token = 0; token < this.reads.length; token++) {
      this.reads[token] *= fade;
      this.lateReads[token] *= fade;
    }
    for (const [token, count, missing] of most) {
      this.reads[token] += count / steps * (1 - fade);
      this.lateReads[token] += missing / steps * (1 - fade);
    }
  }

  // Columns of a longer text: more of them, or each as wide as several before.
  #widen(columnTokens, columns) {
    const joined = Math.max(1, columnTokens / this.columnTokens);
    if (joined === 1 && columns === this.columns) return;
    const shares = new Float32Array(this.lists * columns);
    const before = this.columns;
    for (let list = 0; list < this.lists; list++) {
      for (let column = 0; column < before; column++) {
        const to = Math.floor(column / joined);
        if (to < columns) {
          shares[list * columns + to] += this.shares[list * before + column] / joined;
        }
      }
    }
    Object.assign(this, { columnTokens, columns, shares });
  }
}

function grown(values, length) {
  const more = new Float32Array(length);
  more.set(values);
  return more;
}
