import { SpecacheError } from "../../engine/errors.ts";
import {
  type Encoder,
  needleDocument,
  needleSource,
  needleText,
  recalls,
} from "../../eval/needle.ts";
import { longText } from "../../eval/text.ts";
import { assert, assertEquals, assertThrows, test } from "../harness.ts";

// A word with the blank before it is a token, a digit is one, and so is everything else.
class Words implements Encoder {
  readonly tokens = ["<s>"];

  encode(text: string): number[] {
    return (text.match(/ ?[A-Za-z]+|[^A-Za-z]/g) ?? []).map((token) => {
      const id = this.tokens.indexOf(token);
      return id >= 0 ? id : this.tokens.push(token) - 1;
    });
  }

  decode(ids: readonly number[]): string {
    return ids.map((id) => this.tokens[id]).join("");
  }
}

const words = new Words();
const text = (await longText()).slice(0, 20_000);
const source = needleSource(words, text, 0);

test("longText() is ASCII, of 150,000 to 250,000 characters", async () => {
  const all = await longText();
  assert(all.length > 150_000 && all.length < 250_000);
  // deno-lint-ignore no-control-regex
  assert(/^[\x00-\x7f]*$/.test(all));
});

test("needleSource() takes lower-case words of four letters or more that are one token", () => {
  const few = needleSource(words, "her Words about 12345 nation-wide about", 0);
  assertEquals(few.words, ["about", "nation", "wide"]);
});

test("needleText() has exactly the tokens asked for, bos first, and every fact", () => {
  const { ids, facts } = needleText(source, { seed: 1, tokens: 2_000, facts: 12 });
  assertEquals(ids.length, 2_000);
  assertEquals(ids[0], 0);
  assertEquals(facts.length, 12);
  const all = words.decode(ids);
  for (const { name, answer, question } of facts) {
    assertEquals(all.split(` The code of ${name} is ${answer}.`).length, 2);
    assertEquals(words.decode(question), `\nRecall: The code of ${name} is`);
  }
});

test("needleText() without its facts is a run of the real text", () => {
  const { ids, facts } = needleText(source, { seed: 2, tokens: 1_500, facts: 5 });
  let rest = words.decode(ids.slice(1));
  for (const { name, answer } of facts) {
    rest = rest.replace(` The code of ${name} is ${answer}.`, "");
  }
  assert(text.includes(rest));
});

test("needleText() gives facts different names, and some share their first word", () => {
  const { facts } = needleText(source, { seed: 3, tokens: 3_000, facts: 60 });
  const names = facts.map(({ name }) => name);
  assertEquals(new Set(names).size, 60);
  const firsts = names.map((name) => name.split(" ")[0]);
  assert(new Set(firsts).size < 55);
});

test("needleText() hides numbers and words when mixed, numbers alone when asked", () => {
  const options = { seed: 4, tokens: 3_000, facts: 60 };
  const kinds = (values: "mixed" | "numbers") =>
    needleText(source, { ...options, values }).facts.filter(({ answer }) => /^\d{5}$/.test(answer));
  assert(kinds("mixed").length > 24 && kinds("mixed").length < 48); // 36 of 60 are expected
  assertEquals(kinds("numbers").length, 60);
});

test("needleDocument() ends in the question and has exactly the tokens asked for", () => {
  const { ids, question, answer, name } = needleDocument(source, {
    seed: 5,
    tokens: 1_000,
    facts: 16,
  });
  assertEquals(ids.length, 1_000);
  assertEquals(ids.slice(-question.length), [...question]);
  assert(words.decode(ids).includes(` The code of ${name} is ${answer}.`));
});

test("needleDocument() is the same for the same seed and another for another", () => {
  const of = (seed: number) => needleDocument(source, { seed, tokens: 800, facts: 4 });
  assertEquals(of(6), of(6));
  assert(words.decode(of(6).ids) !== words.decode(of(7).ids));
});

test("needleText() refuses facts that do not fit, and text that does not fill the length", () => {
  assertThrows(
    () => needleText(source, { seed: 1, tokens: 100, facts: 40 }),
    SpecacheError,
    "Cannot make a recall task: tokens 100 leave -",
  );
  assertThrows(
    () => needleText(source, { seed: 1, tokens: 1_000_000, facts: 1 }),
    SpecacheError,
    "Cannot make a recall task: tokens 1000000 leave",
  );
});

test("recalls() wants exactly the value before the dot", () => {
  assertEquals(recalls(" 48213. The", "48213"), true);
  assertEquals(recalls(" 48213", "48213"), true);
  assertEquals(recalls(" 482135.", "48213"), false);
  assertEquals(recalls(" 4821.", "48213"), false);
});
