import { harmless } from "../../cli/output.ts";
import { assertEquals, test } from "../harness.ts";

// [text, what a terminal gets]
const cases = [
  ["plain\ttext\n", "plain\ttext\n"],
  ["é 漢 \u{1f600} \u200d", "é 漢 \u{1f600} \u200d"],
  ["\x1b[31mred\x1b]0;title\x07", "\ufffd[31mred\ufffd]0;title\ufffd"],
  ["back\rover\b\x00\x7f\x9b", "back\ufffdover\ufffd\ufffd\ufffd\ufffd"],
  ["", ""],
] as const;

for (const [text, shown] of cases) {
  test(`a terminal gets ${JSON.stringify(shown)} of ${JSON.stringify(text)}`, () => {
    assertEquals(harmless(text), shown);
  });
}
