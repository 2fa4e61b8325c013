// call_parser.ts - calls of tools, found in an answer's text as it comes. Models write them in a
// few ways, and what they were taught is not always what they do, so each is known everywhere:
//   <tool_call>{"name", "arguments"}</tool_call>      anywhere (Hermes, Qwen)
//   {"name", "parameters"}, several by ";"            as the whole answer (Llama 3)
//   [{"name", "arguments"}]                           as the whole answer (Mistral)
// The last two may stand behind <|python_tag|> or [TOOL_CALLS]. What names no tool that was given,
// and what never ends, is text, to the last space; spaces beside a call are no part of the text.
// Each character is looked at a bounded number of times, however the text is cut.
import { type Call, callsIn } from "./call_json.ts";
import { JsonEnd } from "./json_end.ts";

export type { Call } from "./call_json.ts";

/** What a piece of an answer brings. */
export interface Parsed {
  readonly text: string;
  readonly calls: readonly Call[];
}

const OPEN = "<tool_call>";
const CLOSE = "</tool_call>";
const MARKS = ["[TOOL_CALLS]", "<|python_tag|>"];

// Where the text may go on with a call: at its `start`, `anywhere` behind OPEN, `before` the JSON
// behind OPEN or a mark, within the `call`, or `behind` another one.
type Place = "start" | "anywhere" | "before" | "call" | "behind";

/** Parses one answer. */
export class CallParser {
  readonly #names: ReadonlySet<string>;
  #place: Place = "start";
  #rest = ""; // what is to be looked at: a new piece, behind what may be the beginning of a tag
  #held = ""; // what comes before it and was looked at: given back where it is no call's
  #end = new JsonEnd();
  #json = ""; // of a call, which has not ended

  /** Calls of `names` are looked for. */
  constructor(names: Iterable<string>) {
    this.#names = new Set(names);
  }

  /** What the text that goes on by `text` brings now. */
  push(text: string): Parsed {
    this.#rest += text;
    const parsed: { text: string; calls: Call[] } = { text: "", calls: [] };
    while (this.#rest !== "" && this.#step(parsed));
    return parsed;
  }

  /** What is left at the end: text. Behind a call, what would lead to the next one is none. */
  end(): Parsed {
    const isTail = this.#place === "behind" && CLOSE.startsWith(this.#rest);
    const text = isTail ? "" : this.#held + this.#json + this.#rest;
    this.#held = this.#json = this.#rest = "";
    return { text, calls: [] };
  }

  // One move; false: more text is needed.
  #step(parsed: { text: string; calls: Call[] }): boolean {
    if (this.#place === "start") return this.#begin();
    if (this.#place === "anywhere") return this.#seek(parsed);
    if (this.#place === "before") return this.#enter();
    return this.#place === "call" ? this.#take(parsed) : this.#skip();
  }

  // At the beginning of an answer: is it a call as a whole?
  #begin(): boolean {
    if (!this.#holdSpaces()) return false;
    if (MARKS.some((mark) => isBeginning(this.#rest, mark))) return false;
    const mark = MARKS.find((each) => this.#rest.startsWith(each));
    if (mark !== undefined) return this.#hold(mark, "before");
    const isJson = this.#rest[0] === "{" || this.#rest[0] === "[";
    this.#place = isJson ? "before" : "anywhere";
    return true;
  }

  // Text, up to where a call begins or may begin, and the spaces before that.
  #seek(parsed: { text: string }): boolean {
    const at = this.#rest.indexOf(OPEN);
    const until = at >= 0 ? at : this.#rest.length - beginningAt(this.#rest);
    const said = this.#rest.slice(0, until).trimEnd();
    if (said !== "") {
      parsed.text += this.#held + said;
      this.#held = "";
    }
    this.#hold(this.#rest.slice(said.length, until), "anywhere", said.length);
    return at >= 0 && this.#hold(OPEN, "before");
  }

  // Behind what begins a call there is JSON, or it begins none.
  #enter(): boolean {
    if (!this.#holdSpaces()) return false;
    this.#place = "call";
    this.#end = new JsonEnd();
    return true;
  }

  // JSON that is a call where it ends.
  #take(parsed: { text: string; calls: Call[] }): boolean {
    const end = this.#end.find(this.#rest);
    this.#json += this.#rest.slice(0, end ?? undefined);
    this.#rest = end === null ? "" : this.#rest.slice(end);
    if (end === null) return false;
    const calls = end === 0 ? null : callsIn(this.#json, this.#names);
    const text = calls === null ? this.#held + this.#json : "";
    const said = text.trimEnd();
    parsed.text += said;
    parsed.calls.push(...calls ?? []);
    this.#held = text.slice(said.length); // spaces that another call may follow
    this.#json = "";
    this.#place = calls === null ? "anywhere" : "behind";
    return true;
  }

  // Behind a call: its closing tag, spaces, and what leads to another one; or text.
  #skip(): boolean {
    const text = this.#rest.trimStart();
    const spaces = this.#rest.slice(0, this.#rest.length - text.length);
    this.#rest = text;
    if (this.#held !== "") this.#held += spaces; // behind a semicolon they may be text's
    if (text === "" || isBeginning(text, OPEN) || isBeginning(text, CLOSE)) return false;
    if (text.startsWith(CLOSE) && this.#held === "") {
      this.#rest = text.slice(CLOSE.length);
      return true;
    }
    if (text[0] === ";") return this.#hold(";", "behind");
    if (text.startsWith(OPEN)) return this.#hold(OPEN, "before");
    this.#place = text[0] === "{" ? "before" : "anywhere";
    return true;
  }

  // Holds spaces; false: there is nothing behind them yet.
  #holdSpaces(): boolean {
    const text = this.#rest.trimStart();
    this.#hold(this.#rest.slice(0, this.#rest.length - text.length), this.#place);
    return this.#rest !== "";
  }

  // Holds `text`, which stands at `at` of the rest, and goes on behind it.
  #hold(text: string, place: Place, at = 0): true {
    this.#held += text;
    this.#rest = this.#rest.slice(at + text.length);
    this.#place = place;
    return true;
  }
}

function isBeginning(text: string, whole: string): boolean {
  return text.length < whole.length && whole.startsWith(text);
}

// Characters at the end of a text that may be the beginning of a call.
function beginningAt(text: string): number {
  for (let size = Math.min(OPEN.length - 1, text.length); size > 0; size--) {
    if (text.endsWith(OPEN.slice(0, size))) return size;
  }
  return 0;
}
