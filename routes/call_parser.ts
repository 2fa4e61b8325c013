// call_parser.ts - calls of tools, found in an answer's text as it comes. Models write them in a
// few ways, and what they were taught is not always what they do, so each is known everywhere:
//   <tool_call>{"name", "arguments"}</tool_call>      anywhere (Hermes, Qwen)
//   {"name", "parameters"}, several by ";"            as the whole answer (Llama 3)
//   [{"name", "arguments"}]                           as the whole answer (Mistral)
// The last two may stand behind <|python_tag|> or [TOOL_CALLS]. What names no tool that was given,
// and what never ends, is text.
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

// Where the text may go on with a call: `anywhere` behind OPEN, else at once.
type Place = "start" | "anywhere" | "call" | "behind";

/** Parses one answer. */
export class CallParser {
  readonly #names: ReadonlySet<string>;
  #place: Place = "start";
  #held = ""; // text that may be a call, or the beginning of one
  #opening = ""; // what stood before the JSON in #held: given back where that is no call
  #end = new JsonEnd();

  /** Calls of `names` are looked for. */
  constructor(names: Iterable<string>) {
    this.#names = new Set(names);
  }

  /** What the text that goes on by `text` brings now. */
  push(text: string): Parsed {
    this.#held += text;
    const parsed: { text: string; calls: Call[] } = { text: "", calls: [] };
    while (this.#step(parsed));
    return parsed;
  }

  /** What is left at the end: text. */
  end(): Parsed {
    const text = this.#place === "behind" ? "" : this.#opening + this.#held;
    this.#held = this.#opening = "";
    return { text, calls: [] };
  }

  // One move; false: more text is needed.
  #step(parsed: { text: string; calls: Call[] }): boolean {
    if (this.#held === "") return false;
    if (this.#place === "start") return this.#begin();
    if (this.#place === "anywhere") return this.#seek(parsed);
    return this.#place === "call" ? this.#take(parsed) : this.#skip();
  }

  // At the beginning of an answer: is it a call as a whole?
  #begin(): boolean {
    const text = this.#held.trimStart();
    const mark = MARKS.find((each) => text.startsWith(each)) ?? "";
    const json = text.slice(mark.length).trimStart();
    if (json === "" || MARKS.some((each) => isBeginning(json, each))) return false;
    if (json[0] === "{" || json[0] === "[") {
      return this.#enter(this.#held.slice(0, this.#held.length - json.length), json);
    }
    this.#place = "anywhere";
    return true;
  }

  #enter(opening: string, json: string): boolean {
    this.#place = "call";
    this.#opening = opening;
    this.#held = json;
    this.#end = new JsonEnd();
    return true;
  }

  // Text, up to where a call begins or may begin; spaces before a call are no part of the text.
  #seek(parsed: { text: string }): boolean {
    const at = this.#held.indexOf(OPEN);
    if (at >= 0) {
      parsed.text += this.#held.slice(0, at).trimEnd();
      const rest = this.#held.slice(at + OPEN.length);
      this.#held = rest;
      const json = rest.trimStart();
      if (json === "") {
        this.#held = OPEN + rest;
        return false;
      }
      return this.#enter(OPEN + rest.slice(0, rest.length - json.length), json);
    }
    const kept = this.#held.length - this.#held.trimEnd().length; // a pattern would be quadratic
    const partial = Math.max(kept, beginningAt(this.#held));
    parsed.text += this.#held.slice(0, this.#held.length - partial);
    this.#held = partial === 0 ? "" : this.#held.slice(-partial);
    return false;
  }

  // JSON that is a call where it ends.
  #take(parsed: { text: string; calls: Call[] }): boolean {
    const end = this.#end.find(this.#held);
    if (end === null) return false;
    const json = this.#held.slice(0, end);
    const calls = end === 0 ? null : callsIn(json, this.#names);
    if (calls === null) {
      parsed.text += this.#opening + json;
      this.#place = "anywhere";
    } else {
      parsed.calls.push(...calls);
      this.#place = "behind";
    }
    this.#opening = "";
    this.#held = this.#held.slice(end);
    return true;
  }

  // Behind a call: its closing tag, and spaces; then another one, or text.
  #skip(): boolean {
    const text = this.#held.trimStart();
    this.#held = text;
    if (text === "" || CLOSE !== text && CLOSE.startsWith(text)) return false;
    if (text.startsWith(CLOSE)) {
      this.#held = text.slice(CLOSE.length);
      return true;
    }
    if (text[0] === ";") {
      this.#held = text.slice(1);
      return true;
    }
    if (text[0] === "{") return this.#enter("", text);
    this.#place = "anywhere";
    return true;
  }
}

function isBeginning(text: string, whole: string): boolean {
  return text.length < whole.length && whole.startsWith(text);
}

// Characters at the end of a text that may be the beginning of a call, with spaces before them.
function beginningAt(text: string): number {
  for (let size = Math.min(OPEN.length - 1, text.length); size > 0; size--) {
    if (!text.endsWith(OPEN.slice(0, size))) continue;
    const before = text.slice(0, text.length - size);
    return text.length - before.trimEnd().length;
  }
  return 0;
}
