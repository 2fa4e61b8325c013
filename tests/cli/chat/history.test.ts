import { readFileSync, statSync, writeFileSync } from "node:fs";
import { History, HISTORY_LINES } from "../../../cli/chat/history.ts";
import { assertEquals, assertMatch, test } from "../../harness.ts";
import { Folder } from "../command.ts";

const silent = (sentence: string) => assertEquals(sentence, "");

test("lines come back the newest first, from a file that others cannot read", () => {
  using folder = new Folder();
  const path = folder.of("deep/in/history");
  const history = new History(path, silent);
  assertEquals(history.load(), []);
  for (const line of ["one", "two", "two", "", " ", "one"]) history.add(line);
  assertEquals(new History(path, silent).load(), ["one", "two", "one"]);
  assertEquals(statSync(path).mode & 0o777, 0o600);
});

test("a line that is that of the last time is not added again", () => {
  using folder = new Folder();
  const path = folder.file("history", "one\n");
  const history = new History(path, silent);
  history.load();
  history.add("one");
  assertEquals(readFileSync(path, "utf8"), "one\n");
});

for (const [lines, kept] of [[1, 1], [0, 0], [2, 2], [2.001, 1]] as const) {
  test(`of ${lines} x ${HISTORY_LINES} lines the file keeps ${kept} x as many`, () => {
    using folder = new Folder();
    const all = Array.from({ length: lines * HISTORY_LINES }, (_, i) => `line ${i}`);
    const path = folder.file("history", all.map((line) => `${line}\n`).join(""));
    const loaded = new History(path, silent).load();
    assertEquals(loaded, all.slice(-HISTORY_LINES).toReversed());
    assertEquals(readFileSync(path, "utf8").split("\n").length - 1, kept * HISTORY_LINES);
  });
}

test("a history that cannot be read or written is said once, and gone without", () => {
  using folder = new Folder();
  const said: string[] = [];
  const inFile = `${folder.file("file", "")}/history`;
  for (const path of [folder.path, inFile]) {
    said.length = 0;
    const history = new History(path, (sentence) => said.push(sentence));
    assertEquals(history.load(), []);
    history.add("one");
    history.add("two");
    assertEquals(said.length, 1);
    assertMatch(
      said[0],
      /^No history: .+ (is a folder, not a file|has a file where its path wants a folder)$/,
    );
  }
});

test("a last line that was cut off is a line", () => {
  using folder = new Folder();
  const path = folder.of("history");
  writeFileSync(path, "one\ntw");
  assertEquals(new History(path, silent).load(), ["tw", "one"]);
});
