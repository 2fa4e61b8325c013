// Recall of the shipped needle model: 4,096 tokens, 16 facts, 40 documents, one fact asked in each.

import { ANSWER_TOKENS_MAX, needleDocument, recalls } from "../../eval/needle.ts";
import { countOf, recallOf } from "../../eval/recall.ts";
import { needleModel, shippedSource } from "../../eval/source.ts";
import type { Mode } from "../../engine/config.ts";
import { assert, test } from "../harness.ts";

const TOKENS = 4_096;
const FACTS = 16;
const DOCUMENTS = 40;

for (const values of ["mixed", "numbers"] as const) {
  test(`recall of ${values} values: specache is near full and not below paper`, async () => {
    const source = await shippedSource();
    const documents = Array.from({ length: DOCUMENTS }, (_, seed) => {
      const { ids, answer } = needleDocument(source, {
        seed,
        tokens: TOKENS,
        facts: FACTS,
        values,
      });
      return { ids, recalled: (generated: string) => recalls(generated, answer) };
    });
    const contextTokens = TOKENS + ANSWER_TOKENS_MAX;
    const count = async (mode: Mode) =>
      countOf(
        await recallOf({ model: needleModel, mode, contextTokens }, documents, ANSWER_TOKENS_MAX),
      );
    const [full, paper, specache] = [
      await count("full"),
      await count("paper"),
      await count("specache"),
    ];
    const figures = `full ${full}, paper ${paper}, specache ${specache} of ${DOCUMENTS}`;
    console.log(`  ${values}: ${figures}`);
    assert(full >= 0.8 * DOCUMENTS, figures); // else the task, not the cache, is at fault
    assert(specache >= full - 1, figures);
    assert(specache >= paper, figures);
  });
}
