// parse.ts - a PTX text as variables and functions, each function a list of statements that carry
// the place in the .cu file they came from.
import { bytesOf, cppTypes, type Place, splitList, unknown } from "./types.ts";

/** One statement of a function's body. */
export interface Statement {
  readonly kind: "open" | "close" | "label" | "targets" | "statement";
  /** The label's name, or the statement without its semicolon. */
  readonly text: string;
  readonly place: Place;
}

/** A parameter or result of a function, or a variable: a name and how many bytes. */
export interface Bytes {
  readonly name: string;
  readonly bytes: number;
}

/** A variable of the module, with its first bytes where some are given. */
export interface Variable extends Bytes {
  readonly initial: readonly number[];
}

/** A kernel (`entry`) or device function. */
export interface Function {
  readonly entry: boolean;
  readonly name: string;
  readonly results: readonly Bytes[];
  readonly parameters: readonly Bytes[];
  readonly statements: readonly Statement[];
}

/** What a PTX text holds. */
export interface Module {
  readonly variables: readonly Variable[];
  /** Shared memory outside of functions; 0 bytes: the launch's dynamic memory. */
  readonly shared: readonly Bytes[];
  readonly functions: readonly Function[];
}

/** Reads PTX; `name` stands for what is of no .cu line, paths are told from `root`. */
export function parse(text: string, name: string, root: string): Module {
  return new Parser(text, name, root).module();
}

/** A declaration such as `.shared .align 4 .b8 rows[256]`, or undefined if it is none. */
export function parseDeclaration(text: string): Bytes | undefined {
  const parts = text.match(/(%?[\w$]+)(?:\[(\d*)\])?$/);
  const type = text.split(" ").find((word) => word.slice(1) in cppTypes)?.slice(1);
  if (parts === null || type === undefined) return undefined;
  const [, name, count] = parts;
  return { name, bytes: count === "" ? 0 : bytesOf(type) * Number(count ?? 1) };
}

class Parser {
  readonly #code: string;
  readonly #files = new Map<string, string>();
  readonly #variables: Variable[] = [];
  readonly #shared: Bytes[] = [];
  readonly #functions: Function[] = [];
  readonly #name: string;
  #at = 0;
  #line = 1;

  constructor(text: string, name: string, root: string) {
    this.#name = name;
    this.#code = text.replace(/\/\/.*$/gm, "")
      .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ""));
    for (const [, number, file] of text.matchAll(/^\s*\.file\s+(\d+)\s+"([^"]*)"/gm)) {
      this.#files.set(number, file.replace(`${root}/`, ""));
    }
  }

  module(): Module {
    while (this.#skip()) this.#declaration();
    return { variables: this.#variables, shared: this.#shared, functions: this.#functions };
  }

  #place(): Place {
    return { file: this.#name, line: this.#line };
  }

  /** Goes to what is no space; false at the end. */
  #skip(): boolean {
    while (/\s/.test(this.#code[this.#at] ?? "x")) {
      if (this.#code[this.#at++] === "\n") this.#line++;
    }
    return this.#at < this.#code.length;
  }

  /** The text up to `stop`, its spaces made single ones, and goes behind it. */
  #until(stop: RegExp): { text: string; stop: string } {
    const rest = this.#code.slice(this.#at);
    const found = rest.match(stop);
    if (found === null) throw unknown(`${rest.slice(0, 40)} has no end`, this.#place());
    const text = rest.slice(0, found.index);
    this.#at += text.length + found[0].length;
    this.#line += (text + found[0]).split("\n").length - 1;
    return { text: text.trim().replace(/\s+/g, " "), stop: found[0] };
  }

  #declaration(): void {
    const rest = this.#code.slice(this.#at, this.#at + 200);
    if (/^\.(version|target|address_size|file|loc)\b/.test(rest)) {
      this.#until(/\n|$/);
      return;
    }
    if (rest.startsWith(".section")) {
      this.#until(/\{/);
      this.#until(/\}/);
      return;
    }
    const place = this.#place();
    const { text, stop } = this.#until(/[;{]/);
    if (/^(\.\w+ )*\.(entry|func)\b/.test(text)) {
      // A declaration alone; the definition, if there is one, comes later.
      if (stop === "{") this.#function(text, place);
    } else if (stop === "{") {
      const values = this.#until(/\}\s*;/).text;
      this.#variable(text.replace(/\s*=$/, ""), splitList(values), place);
    } else {
      const [declared, value] = text.split("=").map((part) => part.trim());
      this.#variable(declared, value === undefined ? [] : [value], place);
    }
  }

  #variable(text: string, values: readonly string[], place: Place): void {
    if (/^\.pragma|^\.extern \.global/.test(text)) return;
    const declared = parseDeclaration(text.replace(/\.attribute\([^)]*\)/, ""));
    if (declared === undefined) throw unknown(text, place);
    if (/\.shared\b/.test(text)) {
      this.#shared.push(declared);
      return;
    }
    const element = bytesOf(text.match(/\.(\w+) [\w$]+(\[\d*\])?$/)![1]);
    const initial = values.flatMap((value) => bytesOfValue(value, element, place));
    this.#variables.push({ ...declared, initial });
  }

  #function(head: string, place: Place): void {
    const entry = /\.entry\b/.test(head);
    const parts = head.match(
      /\.(?:entry|func)\s*(?:\(([^)]*)\))?\s*([\w$]+)\s*(?:\(([\s\S]*?)\))?/,
    );
    if (parts === null) throw unknown(head, place);
    const [, results, name, parameters] = parts;
    const bytes = (list: string | undefined) =>
      splitList(list ?? "").map((text) => {
        const declared = parseDeclaration(text);
        if (declared === undefined) throw unknown(text, place);
        return declared;
      });
    this.#functions.push({
      entry,
      name,
      results: bytes(results),
      parameters: bytes(parameters),
      statements: this.#body(),
    });
  }

  #body(): Statement[] {
    const statements: Statement[] = [];
    let place: Place = { file: this.#name, line: this.#line };
    const push = (kind: Statement["kind"], text: string) => statements.push({ kind, text, place });
    for (let depth = 1; depth > 0;) {
      if (!this.#skip()) throw unknown("a function has no end", this.#place());
      const brace = this.#code[this.#at];
      const label = this.#code.slice(this.#at, this.#at + 400).match(/^([\w$]+):(?!:)/);
      if (brace === "{" || brace === "}") {
        this.#at++;
        depth += brace === "{" ? 1 : -1;
        if (depth > 0) push(brace === "{" ? "open" : "close", "");
      } else if (/^\.loc\b/.test(this.#code.slice(this.#at, this.#at + 5))) {
        place = this.#location(this.#until(/\n/).text) ?? place;
      } else if (label) {
        this.#at += label[0].length;
        this.#skip();
        const targets = this.#code.startsWith(".branchtargets", this.#at);
        if (targets) push("targets", `${label[1]} ${this.#until(/;/).text.slice(15)}`);
        else push("label", label[1]);
      } else push("statement", this.#until(/;/).text);
    }
    return statements;
  }

  /** The .cu line of a .loc: where a function of the toolkit's headers was called, not its own. */
  #location(text: string): Place | undefined {
    const own = text.match(/^\.loc (\d+) (\d+)/);
    const called = text.match(/inlined_at (\d+) (\d+)/);
    const ownFile = this.#files.get(own?.[1] ?? "") ?? this.#name;
    const toolkit = /\/include\/|\/crt\//.test(ownFile);
    const chosen = toolkit && called ? called : own;
    const line = Number(chosen?.[2]);
    return line > 0 ? { file: this.#files.get(chosen![1]) ?? this.#name, line } : undefined;
  }
}

function bytesOfValue(value: string, bytes: number, place: Place): number[] {
  const float = value.match(/^0[fFdD]([0-9a-fA-F]+)$/);
  if (!float && !/^-?(0x[0-9a-fA-F]+|\d+)U?$/.test(value)) {
    throw unknown(`a variable begins with ${value}`, place);
  }
  const negative = value.startsWith("-");
  const digits = value.replace(/^-|U$/g, "");
  let bits = BigInt.asUintN(64, BigInt(float ? `0x${float[1]}` : digits) * (negative ? -1n : 1n));
  return Array.from({ length: bytes }, () => {
    const low = Number(bits & 255n);
    bits >>= 8n;
    return low;
  });
}
