// mailbox.ts - memory that a grammar's thread shares with the thread that draws: one writes what
// it asks and sleeps until the other has written the answer, in which no event loop takes part.
//   words    (WORDS)                        i32   the places below, then ids
//   mask     (vocabulary / 32, rounded up)  i32   as in text_state.ts
import { SpecacheError } from "../errors.ts";
import { endedAfter } from "./ended_after.ts";
import type { Place, TextState, Verdict } from "./text_state.ts";

// Places of words.
const ASKED = 0; // asks so far
const ANSWERED = 1; // answers so far
const ENDED = 2; // 1: nobody answers any more
const CALL = 3; // of calls
const TEXT = 4; // which text; of an answer to `open`, that text
const VERDICT = 5; // of verdicts
const ID = 6; // Place.id; -1: null
const ADDED = 7; // how many of the ids are Place.added
const AHEAD = 8; // how many behind them are Place.ahead
const IDS = 9;
const IDS_MAX = 64; // a step's tokens and its guesses are 8 at most
const WORDS = IDS + IDS_MAX;

const calls = ["open", "judge", "close"] as const;
const verdicts = ["free", "lets", "mask"] as const satisfies readonly Verdict[];

// An answer is waited for in naps: when all threads stand still, as in a process that was stopped,
// only the nap at hand is lost.
const NAP_MS = 100;
const NAPS_MAX = 20;
/** Milliseconds that an answer may take; most take hundredths of one. */
export const ANSWER_MS_MAX = NAP_MS * NAPS_MAX;

/** Both ends of the memory. */
export class Mailbox {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array; // (WORDS)
  readonly #mask: Int32Array; // (vocabulary / 32, rounded up)

  /** Of memory that is shared already, or new. */
  constructor(vocabulary: number, memory?: SharedArrayBuffer) {
    const mask = Math.ceil(vocabulary / 32);
    this.memory = memory ?? new SharedArrayBuffer(4 * (WORDS + mask));
    this.#words = new Int32Array(this.memory, 0, WORDS);
    this.#mask = new Int32Array(this.memory, 4 * WORDS, mask);
  }

  /** Whether nobody answers any more. */
  get ended(): boolean {
    return Atomics.load(this.#words, ENDED) === 1;
  }

  /** Nobody answers any more: who waits for an answer, or serves, does not go on. */
  end(): void {
    Atomics.store(this.#words, ENDED, 1);
    Atomics.add(this.#words, ASKED, 1); // who is about to sleep on it does not
    Atomics.notify(this.#words, ASKED);
    Atomics.notify(this.#words, ANSWERED);
  }

  /**
   * A text that begins; one thread alone may ask.
   *
   * @throws {SpecacheError} internal: the thread failed
   */
  open(): TextState {
    this.#ask("open");
    const text = this.#words[TEXT];
    return {
      judge: (place, mask) => this.#judge(text, place, mask),
      close: () => {
        if (!this.ended) this.#ask("close", text);
      },
    };
  }

  #judge(text: number, { added, ahead, id }: Place, mask: Int32Array): Verdict {
    if (added.length + ahead.length > IDS_MAX) throw new RangeError("more ids than a step has");
    const words = this.#words;
    words[ID] = id ?? -1;
    words[ADDED] = added.length;
    words[AHEAD] = ahead.length;
    words.set([...added, ...ahead], IDS);
    this.#ask("judge", text);
    const verdict = verdicts[words[VERDICT]];
    if (verdict === "mask") mask.set(this.#mask);
    return verdict;
  }

  #ask(call: typeof calls[number], text = 0): void {
    const words = this.#words;
    words[CALL] = calls.indexOf(call);
    words[TEXT] = text;
    const asked = Atomics.add(words, ASKED, 1) + 1;
    Atomics.notify(words, ASKED);
    for (let naps = 0; Atomics.load(words, ANSWERED) !== asked && !this.ended;) {
      const nap = Atomics.wait(words, ANSWERED, asked - 1, NAP_MS);
      if (nap === "timed-out" && ++naps === NAPS_MAX) this.end();
    }
    if (!this.ended) return;
    const sentence = "the library of grammars has failed, or has not answered for " +
      `${ANSWER_MS_MAX} ms`;
    throw new SpecacheError("internal", `Cannot generate: ${sentence}`);
  }

  /** Answers until all is ended, and keeps the thread: `open` makes a text's state. */
  async serve(open: () => Promise<TextState>): Promise<void> {
    const words = this.#words;
    const texts = new Map<number, TextState>();
    let opened = 0;
    for (let answered = 0;; answered++) {
      while (Atomics.load(words, ASKED) === answered) Atomics.wait(words, ASKED, answered);
      if (this.ended) return;
      const call = calls[words[CALL]];
      if (call === "open") {
        texts.set(++opened, await open());
        words[TEXT] = opened;
      } else if (call === "close") {
        texts.get(words[TEXT])!.close();
        texts.delete(words[TEXT]);
      } else {
        words[VERDICT] = verdicts.indexOf(this.#verdict(texts.get(words[TEXT])!));
      }
      Atomics.store(words, ANSWERED, answered + 1);
      Atomics.notify(words, ANSWERED);
    }
  }

  #verdict(text: TextState): Verdict {
    const words = this.#words;
    const ids = [...words.subarray(IDS, IDS + words[ADDED] + words[AHEAD])];
    const place = {
      added: ids.slice(0, words[ADDED]),
      ahead: ids.slice(words[ADDED]),
      id: words[ID] < 0 ? null : words[ID],
    };
    // Nobody waits for it any more long before, but for those whose process stood still.
    return endedAfter(5 * ANSWER_MS_MAX, () => text.judge(place, this.#mask));
  }
}
