// Documents: exact lengths, the same from the same seed, answers within the text.
import { describeModel } from "../../engine/model/describe.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { needleModel } from "../../eval/source.ts";
import { answered, stretch } from "../../eval/tasks/document.ts";
import { taskKit, taskNames } from "../../eval/tasks/source.ts";
import { question, summary, turns } from "../../eval/tasks/chat.ts";
import { multikey, multiquery, multivalue, needle } from "../../eval/tasks/facts.ts";
import { count, tracking } from "../../eval/tasks/lists.ts";
import { code, text } from "../../eval/tasks/plain.ts";
import { assert, assertEquals, assertNotEquals, assertThrows, test } from "../harness.ts";

const kit = await taskKit(needleModel, describeModel(needleModel));
const TOKENS = 1500;

// The chat tasks need no chat model to be made: its marks are then text.
const tasks = {
  ...{ needle, multikey, multivalue, multiquery, tracking, count },
  ...{ question, chat: turns, text, code, summary },
};

test("the tasks are those that taskNames lists", () => {
  assertEquals(Object.keys(tasks).sort(), [...taskNames].sort());
});

for (const [name, task] of [...Object.entries(tasks), ...kit.tasks]) {
  test(`task ${name} makes exact lengths, the same from the same seed`, () => {
    const [first, again, other] = [7, 7, 8].map((seed) =>
      task(kit.source, { seed, tokens: TOKENS })
    );
    assertEquals(again, first);
    assertNotEquals(other.ids, first.ids);
    assertEquals([first.task, first.ids.length, other.ids.length], [name, TOKENS, TOKENS]);
    if (first.depth !== null) assert(first.depth >= 0 && first.depth <= 1);
    if (first.answers === null) return;
    const words = kit.decode(first.ids);
    for (const answer of first.answers) assert(words.includes(answer), `${answer} is not in it`);
    assert(first.answerTokens > 0);
  });
}

test("answered() wants whole words, each of them", () => {
  assert(answered(" 123456, and 654321.", ["123456", "654321"]));
  assert(!answered(" 1234567", ["123456"]));
  assert(!answered(" 123456", ["123456", "654321"]));
});

test("stretch() takes the whole text, its ends, and refuses more than there is", () => {
  const ids = [1, 2, 3, 4];
  assertEquals(stretch(ids, 4, 0.99, "text"), ids);
  assertEquals([stretch(ids, 1, 0, "text"), stretch(ids, 1, 0.999, "text")], [[1], [4]]);
  for (const wanted of [0, -3, 5]) {
    const fault = `task text has room for ${wanted} tokens of text, outside 1..4`;
    assertThrows(() => stretch(ids, wanted, 0, "text"), SpecacheError, fault);
  }
});
