// Which of what tenants hold makes way for another.
import { makingWay, type Part } from "../../routes/share.ts";
import { assertEquals, test } from "../harness.ts";

// "a2@5": 2 of a, used at 5; "a2": at work.
function partsOf(words: string): (Part & { readonly word: string })[] {
  return words.split(" ").filter((word) => word !== "").map((word) => {
    const [, tenant, size, used] = word.match(/^(\w)(\d+)(?:@(\d+))?$/)!;
    return { word, tenant, size: Number(size), used: used === undefined ? null : Number(used) };
  });
}

const cases: readonly [fact: string, parts: string, wanted: number, free: number, way: unknown][] =
  [
    ["nothing makes way where there is room", "b1@1 b1@2", 1, 1, ""],
    ["who has most makes way, by what it used least recently", "b1@5 b1@3 c1@1 b1@4", 1, 0, "b1@3"],
    ["what is at work makes no way", "b1 b1@3 b1 c1@1", 1, 0, "b1@3"],
    ["one who has no more than the other would have makes no way", "b1@1 c1@2 d1@3", 1, 0, null],
    ["nor does who asks, for itself", "a1@1 a1@2 a1@3 b1@4", 1, 0, null],
    ["who has one less than two more makes no way", "a1@1 b1@2 b1@3", 1, 0, null],
    ["who has two more makes way", "a1@1 b1@2 b1@3 b1@4", 1, 0, "b1@2"],
    [
      "as many make way as are needed, from who then has most",
      "b4@1 b4@2 c5@3 c2@4",
      5,
      0,
      "b4@1 c5@3",
    ],
    ["and none where all that may are not enough", "b3@1 b3@2 c1@3", 5, 0, null],
    ["a part that is all of it makes way for less", "b9@1", 4, 0, "b9@1"],
    ["and not for as much", "b9@1", 9, 0, null],
    ["what is free already counts", "b4@1 b4@2", 3, 2, "b4@1"],
    ["of nothing nothing makes way", "", 1, 0, null],
  ];

for (const [fact, parts, wanted, free, way] of cases) {
  test(`${fact}: ${wanted} of a where ${free} are free beside "${parts}"`, () => {
    const made = makingWay(partsOf(parts), "a", wanted, free);
    assertEquals(made && made.map(({ word }) => word).join(" "), way);
  });
}
