// grammar_worker.ts - the thread of one format's grammar: compiles it, says whether it could, and
// then answers those who draw the texts that are held to it, until it is ended.
import { endedAfter, TookTooLong } from "./ended_after.ts";
import type { Format } from "./format.ts";
import { Grammars, type Vocabulary } from "./grammar.ts";
import { Mailbox } from "./mailbox.ts";

/** This module; by the threads' import of the type a packager sees that it is needed. */
export type GrammarFile = "./grammar_worker.ts";

/** What is compiled, and where its texts are asked about. */
export interface GrammarAsk extends Vocabulary {
  readonly format: Format;
  /** Milliseconds that it may take to be compiled. */
  readonly limitMs: number;
  /** Of a Mailbox. */
  readonly memory: SharedArrayBuffer;
}

/** What is said, in this order: `loaded`, then one of the others. */
export type GrammarWord = "loaded" | "compiled" | "late" | "failed";

interface GrammarScope {
  onmessage: ((event: { readonly data: GrammarAsk }) => void) | null;
  postMessage(word: GrammarWord): void;
}

const scope = globalThis as unknown as GrammarScope;

scope.onmessage = async ({ data: { format, limitMs, memory, ...vocabulary } }) => {
  const words = vocabulary.tokens.length;
  const mailbox = new Mailbox(words, memory);
  try {
    const grammars = await Grammars.open(vocabulary);
    scope.postMessage("loaded");
    const begun = performance.now();
    const grammar = endedAfter(limitMs, () => grammars.compile(format));
    // A first mask may be what takes long, or what breaks.
    const text = await grammar.text();
    const mask = new Int32Array(Math.ceil(words / 32));
    const leftMs = begun + limitMs - performance.now();
    endedAfter(leftMs, () => text.judge({ added: [], ahead: [], id: null }, mask));
    text.close();
    scope.postMessage("compiled");
    await mailbox.serve(() => grammar.text());
  } catch (error) {
    scope.postMessage(error instanceof TookTooLong ? "late" : "failed"); // who asked says so
    mailbox.end();
  }
};
