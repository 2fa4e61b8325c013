import { type Turn, TurnReader } from "../../../cli/chat/turns.ts";
import { assertEquals, test } from "../../harness.ts";

function turnsOf(lines: readonly string[]): Turn[] {
  const reader = new TurnReader();
  const turns = lines.map((line) => reader.push(line));
  return [...turns, reader.end()].filter((turn) => turn !== null);
}

// [lines, texts of turns]; a command's text is in brackets.
const cases: readonly (readonly [lines: string[], turns: string[]])[] = [
  [["Hello"], ["Hello"]],
  [["one", "two"], ["one", "two"]],
  [["one\\", "two"], ["one\ntwo"]],
  [["one\\", "\\", "two", "three"], ["one\n\ntwo", "three"]],
  [["one\\"], ["one"]],
  [["\\"], [""]],
  [['"""', "one", "", "two", '"""'], ["one\n\ntwo"]],
  [['"""one', 'two"""', "three"], ["one\ntwo", "three"]],
  [['"""one"""'], ["one"]],
  [['"""', '"""'], [""]],
  [['""""""'], [""]],
  [['"""', "one\\", "two"], ["one\\\ntwo"]],
  [['a"""', "b"], ['a"""', "b"]],
  [["one\\", '"""', "two"], ['one\n"""', "two"]],
  [["/help"], ["[/help]"]],
  [["/help\\", "me"], ["/help\nme"]],
  [["one\\", "/help"], ["one\n/help"]],
  [['"""/help"""'], ["/help"]],
  [["", " "], ["", " "]],
];

for (const [lines, texts] of cases) {
  test(`the lines ${JSON.stringify(lines)} are the turns ${JSON.stringify(texts)}`, () => {
    const turns = turnsOf(lines).map(({ text, command }) => command ? `[${text}]` : text);
    assertEquals(turns, texts);
  });
}

test("what was cleared is no part of the next turn", () => {
  for (const line of ['"""', "one\\"]) {
    const reader = new TurnReader();
    assertEquals([reader.push(line), reader.open], [null, true]);
    reader.clear();
    assertEquals([reader.open, reader.end()], [false, null]);
    assertEquals(reader.push("two"), { text: "two", command: false });
  }
});
