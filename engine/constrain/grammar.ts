// grammar.ts - formats as grammars over a model's tokens, by xgrammar (WebAssembly). It is loaded
// in threads of grammars alone (grammar_worker.ts): its module wants a `location`, and what it
// compiles nobody else should wait for.
import type * as XGrammar from "@mlc-ai/web-xgrammar";
import type { Format } from "./format.ts";
import { plainSchema } from "./plain.ts";
import type { JsonSchema } from "./schema.ts";
import type { Place, TextState, Verdict } from "./text_state.ts";

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
  "CompiledGrammar" | "Grammar" | "GrammarCompiler" | "GrammarMatcher" | "TokenizerInfo"
>;

// The library's own methods answer by promises, for loading's sake, and a promise's work nothing
// can end (ended_after.ts); what they call does it at once.
interface Bound {
  readonly compiler: BoundCompiler;
  readonly grammars: RulesClass;
}

interface BoundCompiler {
  readonly handle: { CompileGrammar(rules: Rules): unknown };
}

interface BoundGrammar {
  readonly handle: Rules;
}

interface BoundMatcher {
  readonly handle: { GetNextTokenBitmask(vocabulary: number): Words };
}

/** A grammar's text, as the library holds it. */
interface Rules {
  readonly constructor: RulesClass;
  ToString(): string;
  delete(): void;
}

interface RulesClass {
  FromJSONSchema(
    schema: string,
    anyWhitespace: boolean,
    indent: undefined, // all on one line
    separators: { readonly first: string; readonly second: string },
    strict: boolean,
    whitespaceMax: undefined,
    printed: boolean,
  ): Rules;
  FromEBNF(rules: string, root: string): Rules;
}

interface Words {
  size(): number;
  get(word: number): number;
  delete(): void;
}

// JSON on one line, as models know it too: where any space may stand, small models write nothing
// else, and grammars take several times as long to compile.
const SEPARATORS = { first: ", ", second: ": " };

/** Compiles grammars of one model. What it says after it has thrown means nothing. */
export class Grammars {
  readonly #library: Library;
  readonly #bound: Bound;
  readonly #vocabulary: Vocabulary;

  private constructor(library: Library, bound: Bound, vocabulary: Vocabulary) {
    this.#library = library;
    this.#bound = bound;
    this.#vocabulary = vocabulary;
  }

  /** Loads the library for a model. */
  static async open(vocabulary: Vocabulary): Promise<Grammars> {
    const { tokens, eos } = vocabulary;
    const library = await loaded();
    const info = await library.TokenizerInfo.createTokenizerInfo(
      [...tokens],
      "byte_level",
      false,
      tokens.length,
      [...eos],
    );
    const compiler = await library.GrammarCompiler.createGrammarCompiler(info, false);
    const any = await library.Grammar.fromEBNF('root ::= ""\n');
    const bound = {
      compiler: compiler as unknown as BoundCompiler,
      grammars: (any as unknown as BoundGrammar).handle.constructor,
    };
    any.dispose();
    return new Grammars(library, bound, vocabulary);
  }

  /** A format's grammar, in one piece; it must be closed, and may be before its texts. */
  compile(format: Format): Grammar {
    const rules = this.#rules(format);
    try {
      const compiled = this.#bound.compiler.handle.CompileGrammar(rules);
      const { CompiledGrammar } = this.#library;
      return new Grammar(this.#library, new CompiledGrammar(compiled), this.#vocabulary);
    } finally {
      rules.delete(); // until then what the library is given is its own memory's
    }
  }

  #rules(format: Format): Rules {
    const { FromJSONSchema, FromEBNF } = this.#bound.grammars;
    const { schema, begin = "", end = "" } = format === "json" ? anyObject : format;
    const text = JSON.stringify(plainSchema(schema as JsonSchema));
    const json = FromJSONSchema(text, false, undefined, SEPARATORS, false, undefined, false);
    if (begin === "" && end === "") return json;
    const rules = json.ToString();
    json.delete();
    const whole = `whole ::= ${JSON.stringify(begin)} root ${JSON.stringify(end)}`;
    return FromEBNF(`${rules}\n${whole}\n`, "whole");
  }
}

const anyObject: { schema: JsonSchema; begin?: string; end?: string } = {
  schema: { type: "object" },
};

/** One format's grammar. */
export class Grammar {
  readonly #library: Library;
  readonly #compiled: XGrammar.CompiledGrammar;
  readonly #vocabulary: Vocabulary;

  /** Grammars.compile makes grammars. */
  constructor(library: Library, compiled: XGrammar.CompiledGrammar, vocabulary: Vocabulary) {
    this.#library = library;
    this.#compiled = compiled;
    this.#vocabulary = vocabulary;
  }

  /** The state of a text that begins; it must be closed. */
  async text(): Promise<TextState> {
    const matcher = await this.#library.GrammarMatcher.createGrammarMatcher(this.#compiled);
    return new MatchedText(matcher, this.#vocabulary);
  }

  /** Gives its memory back. */
  close(): void {
    this.#compiled.dispose();
  }
}

class MatchedText implements TextState {
  readonly #matcher: XGrammar.GrammarMatcher;
  readonly #vocabulary: Vocabulary;

  constructor(matcher: XGrammar.GrammarMatcher, vocabulary: Vocabulary) {
    this.#matcher = matcher;
    this.#vocabulary = vocabulary;
  }

  judge({ added, ahead, id }: Place, mask: Int32Array): Verdict {
    this.#take(added);
    const taken = this.#take(ahead);
    try {
      if (taken < ahead.length || this.#matcher.isTerminated()) return "free";
      if (id !== null && this.#lets(id)) return "lets";
      this.#fill(mask);
      return "mask";
    } finally {
      if (taken > 0) this.#matcher.rollBack(taken);
    }
  }

  close(): void {
    this.#matcher.dispose();
  }

  // Tokens that the grammar takes, of `ids` from the first on.
  #take(ids: readonly number[]): number {
    let taken = 0;
    while (taken < ids.length && this.#takes(ids[taken])) taken++;
    return taken;
  }

  // Of a token without text the library would write a warning to the process's standard error.
  #takes(id: number): boolean {
    const { tokens, eos } = this.#vocabulary;
    if (!tokens[id] && !eos.includes(id) || this.#matcher.isTerminated()) return false;
    return this.#matcher.acceptToken(id);
  }

  #lets(id: number): boolean {
    const lets = this.#takes(id);
    if (lets) this.#matcher.rollBack(1);
    return lets;
  }

  #fill(mask: Int32Array): void {
    const { length } = this.#vocabulary.tokens;
    const words = (this.#matcher as unknown as BoundMatcher).handle.GetNextTokenBitmask(length);
    try {
      for (let word = 0; word < mask.length; word++) mask[word] = words.get(word);
    } finally {
      words.delete();
    }
  }
}

// A script that a browser would load: some runtimes give its exports, others make a global of it.
async function loaded(): Promise<Library> {
  const module: Partial<Library> = await import("@mlc-ai/web-xgrammar");
  if (module.GrammarCompiler !== undefined) return module as Library;
  return (globalThis as unknown as { readonly xgrammar: Library }).xgrammar;
}
