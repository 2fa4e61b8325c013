// grammar.ts - formats as grammars over a model's tokens, by xgrammar (WebAssembly). It is loaded
// when the first request asks for a format, in the worker alone: its module wants a `location`.
import type * as XGrammar from "@mlc-ai/web-xgrammar";
import { SpecacheError } from "../errors.ts";
import { Constraint } from "./constraint.ts";
import type { Format } from "./format.ts";
import { plainSchema } from "./plain.ts";
import type { JsonSchema } from "./schema.ts";

/** What a grammar must know of a model. */
export interface Vocabulary {
  /**
   * (vocabulary) Each token's bytes in the alphabet of byte-level vocabularies
   * (model/token_bytes.ts); empty: it has none, and no format lets it.
   */
  readonly tokens: readonly string[];
  /** Tokens that end a text; at least one. */
  readonly eos: readonly number[];
}

type Library = Pick<
  typeof XGrammar,
  "Grammar" | "GrammarCompiler" | "GrammarMatcher" | "TokenizerInfo"
>;

const COMPILED_MAX = 16; // grammars kept; the library's own cache would grow without end
// JSON on one line, as models know it too: where any space may stand, small models write nothing
// else, and grammars take several times as long to compile.
const SEPARATORS: [string, string] = [", ", ": "];

/** Grammars of one model. */
export class Grammars {
  readonly #library: Library;
  readonly #compiler: XGrammar.GrammarCompiler;
  readonly #compiled = new Map<string, XGrammar.CompiledGrammar>(); // the oldest first
  readonly #vocabulary: number;
  #failure: SpecacheError | null = null;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(library: Library, compiler: XGrammar.GrammarCompiler, vocabulary: number) {
    this.#library = library;
    this.#compiler = compiler;
    this.#vocabulary = vocabulary;
  }

  /** Loads the library for a model. */
  static async open({ tokens, eos }: Vocabulary): Promise<Grammars> {
    const library = await loaded();
    const info = await library.TokenizerInfo.createTokenizerInfo(
      [...tokens],
      "byte_level",
      false,
      tokens.length,
      [...eos],
    );
    const compiler = await library.GrammarCompiler.createGrammarCompiler(info, false);
    return new Grammars(library, compiler, tokens.length);
  }

  /**
   * Holds one text to a format; it must be closed.
   *
   * @throws {SpecacheError} internal: the library failed
   */
  constraint(format: Format): Promise<Constraint> {
    // One after another: a grammar is not given up for a newer one before its matcher is made, and
    // equal formats are compiled once.
    const next = this.#last.then(() => this.#constraint(format));
    this.#last = next.catch(() => {});
    return next;
  }

  async #constraint(format: Format): Promise<Constraint> {
    if (this.#failure !== null) throw this.#failure;
    try {
      const compiled = await this.#compile(format);
      const matcher = await this.#library.GrammarMatcher.createGrammarMatcher(compiled);
      return new Constraint(matcher, this.#vocabulary);
    } catch (cause) {
      // Its memory is as the failure left it: what it says from now on means nothing.
      const sentence = `Cannot generate: the library of grammars has failed (${cause})`;
      this.#failure = new SpecacheError("internal", sentence, { cause });
      throw this.#failure;
    }
  }

  async #compile(format: Format): Promise<XGrammar.CompiledGrammar> {
    const key = JSON.stringify(format);
    const known = this.#compiled.get(key);
    this.#compiled.delete(key);
    const compiled = known ?? await this.#compileNew(format);
    this.#compiled.set(key, compiled);
    const [oldest] = this.#compiled.keys();
    if (this.#compiled.size > COMPILED_MAX) {
      this.#compiled.get(oldest)!.dispose();
      this.#compiled.delete(oldest);
    }
    return compiled;
  }

  // What the library is given is its own memory's until it is disposed of.
  async #compileNew(format: Format): Promise<XGrammar.CompiledGrammar> {
    const grammar = await this.#grammar(format);
    try {
      return await this.#compiler.compileGrammar(grammar);
    } finally {
      grammar.dispose();
    }
  }

  async #grammar(format: Format): Promise<XGrammar.Grammar> {
    const { Grammar } = this.#library;
    const { schema, begin = "", end = "" } = format === "json" ? anyObject : format;
    const text = JSON.stringify(plainSchema(schema as JsonSchema));
    const json = await Grammar.fromJSONSchema(text, false, -1, SEPARATORS, false);
    if (begin === "" && end === "") return json;
    const rules = json.toString();
    json.dispose();
    const whole = `whole ::= ${JSON.stringify(begin)} root ${JSON.stringify(end)}`;
    return await Grammar.fromEBNF(`${rules}\n${whole}\n`, "whole");
  }
}

const anyObject: { schema: JsonSchema; begin?: string; end?: string } = {
  schema: { type: "object" },
};

// A script that a browser would load: some runtimes give its exports, others make a global of it.
async function loaded(): Promise<Library> {
  const module: Partial<Library> = await import("@mlc-ai/web-xgrammar");
  if (module.GrammarCompiler !== undefined) return module as Library;
  return (globalThis as unknown as { readonly xgrammar: Library }).xgrammar;
}
