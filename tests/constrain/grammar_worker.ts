// grammar_worker.ts - texts drawn at random under random schemas; in a worker, where the grammar
// library is at home. Answers with the texts that ended, and their schemas.
import { Constraint } from "../../engine/constrain/constraint.ts";
import { Grammars } from "../../engine/constrain/grammar.ts";
import { faultOfSchema } from "../../engine/constrain/schema.ts";
import { byteLevelOfPiece } from "../../engine/model/token_bytes.ts";
import { randomOf, randomSchema } from "./schemas.ts";

const TOKENS_MAX = 300;
const EOS = 0;
const SILENT = 1;

// Each byte, and tokens of several that end and begin words of JSON.
const bytes = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
const words = [
  "true",
  '{"',
  '":',
  '", "',
  "[]",
  "{}",
  ' "',
  "},",
  "the",
  "12",
  "é",
  "</tool_call>",
];
// The first ends a text, the second has no text either, and may never come.
const raw = [
  new Uint8Array(),
  new Uint8Array(),
  ...bytes,
  ...words.map((word) => new TextEncoder().encode(word)),
];
const byteToken = (byte: number) => `<0x${byte.toString(16).padStart(2, "0")}>`;
const tokens = raw.map((each) =>
  [...each].map((byte) => byteLevelOfPiece(byteToken(byte))).join("")
);

/** A schema, and a text that was held to it. */
export interface Held {
  readonly schema: Record<string, unknown>;
  readonly begin: string;
  readonly text: string;
}

async function held(count: number, seed: number): Promise<Held[]> {
  const random = randomOf(seed);
  const grammars = await Grammars.open({ tokens, eos: [EOS] });
  const all: Held[] = [];
  for (let at = 0; at < count; at++) {
    let schema = randomSchema(random, 1 + at % 4);
    if (at % 5 === 4) {
      schema = { type: "array", items: { $ref: "#/$defs/n" }, $defs: { n: schema } };
    }
    const fault = faultOfSchema(schema);
    if (fault !== null) {
      throw new Error(`${JSON.stringify(schema)}: ${fault.path} ${fault.sentence}`);
    }
    const around = at % 3 === 0 ? { begin: "<tool_call>\n", end: "\n</tool_call>" } : {};
    const grammar = await grammars.compile({ schema, ...around });
    const constraint = new Constraint(await grammar.text(), tokens.length);
    grammar.close();
    const ids: number[] = [];
    // What closes is likelier, so that texts end.
    const closing = (id: number) =>
      id === EOS ? 2 : [0x7d, 0x5d, 0x22].includes(raw[id][0]) ? 0.5 : 0;
    const best = (logits: Float32Array) =>
      logits.reduce((most, logit, id) => logit > logits[most] ? id : most, 0);
    while (ids.length < TOKENS_MAX && ids.at(-1) !== EOS) {
      const logits = Float32Array.from(tokens, (_, id) => random() + closing(id));
      const unfiltered = random() < 0.5;
      const id = constraint.draw({ logits, ahead: [], unfiltered }, best);
      const other = constraint.draw({ logits, ahead: [], unfiltered: !unfiltered }, best);
      if (id !== other) throw new Error(`${id} is drawn, and by the mask ${other}`);
      if (id === SILENT) throw new Error("a token without text is drawn");
      // Guesses leave no trace, right or wrong.
      const guess = Math.floor(random() * tokens.length);
      constraint.draw({ logits, ahead: [id, guess, guess], unfiltered }, best);
      ids.push(id);
      if (id !== EOS) constraint.add([id]);
    }
    constraint.close();
    if (ids.at(-1) !== EOS) continue;
    const text = new TextDecoder().decode(Uint8Array.from(ids.flatMap((id) => [...raw[id]])));
    all.push({ schema, begin: around.begin ?? "", text });
  }
  return all;
}

const scope = globalThis as unknown as {
  onmessage: (event: { readonly data: { count: number; seed: number } }) => void;
  postMessage(answer: { held: Held[] } | { error: string }): void;
};

scope.onmessage = async ({ data: { count, seed } }) => {
  try {
    scope.postMessage({ held: await held(count, seed) });
  } catch (error) {
    scope.postMessage({ error: String(error) });
  }
};
