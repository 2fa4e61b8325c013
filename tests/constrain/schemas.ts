// schemas.ts - schemas at random, of all words that a text can be held to.

/** Random numbers below 1, the same for the same seed. */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0;
    return state / 2 ** 32;
  };
}

const names = ["a", "name", "é", "it's", "a b", "x/y", "$k", "12", "[z]", "::=", "#", "root", "~"];
const values = ["a", 1, null, true, "it's", "é", 2.5, -3, "a/b", "{", "", " ", "[x]", "😀"];

/** A schema of at most `depth` levels. */
export function randomSchema(random: () => number, depth: number): Record<string, unknown> {
  const below = (most: number) => Math.floor(random() * most);
  const maybe = (word: string, value: () => unknown) => random() < 0.4 ? { [word]: value() } : {};
  const inner = () => random() < 0.1 ? true : randomSchema(random, depth - 1);
  const many = <Each>(most: number, each: () => Each) =>
    Array.from({ length: 1 + below(most) }, each);
  switch (below(depth <= 1 ? 5 : 9)) {
    case 0:
      return { type: "string", ...maybe("minLength", () => below(5)) };
    case 1:
      return { type: ["string", "null"], ...maybe("minLength", () => below(5)) };
    case 2: {
      const minimum = ["minimum", "exclusiveMinimum"][below(2)];
      if (random() < 0.4) return { type: "integer", ...maybe(minimum, () => 0) };
      const low = below(2000) - 1000 + below(2) / 2;
      const maximum = ["maximum", "exclusiveMaximum"][below(2)];
      return { type: "integer", [minimum]: low, [maximum]: low + 2 + below(20) };
    }
    case 3: {
      // Values that share beginnings and ends, and those with what grammars write otherwise.
      const word = () => many(4, () => "abc"[below(3)]).join("");
      const number = () => below([30, 300, 3000][below(3)]);
      const value = [word, number, () => values[below(values.length)]][below(3)];
      const list = many(12, value);
      return random() < 0.8 ? { enum: list } : { anyOf: list.map((each) => ({ const: each })) };
    }
    case 4:
      return { type: ["number", "boolean", "null"].slice(below(3)) };
    case 5: {
      const counts = { ...maybe("minItems", () => below(3)), ...maybe("maxItems", () => 3) };
      const type = random() < 0.8 ? "array" : ["array", "null"];
      return { type, items: inner(), ...counts };
    }
    case 6:
      return { anyOf: many(3, inner) };
    case 7:
      return { type: "object", ...maybe("additionalProperties", inner) };
    default: {
      const properties = Object.fromEntries(many(4, () => [names[below(names.length)], inner()]));
      const required = Object.keys(properties).filter(() => random() < 0.6);
      return { type: "object", description: "d", properties, required };
    }
  }
}
