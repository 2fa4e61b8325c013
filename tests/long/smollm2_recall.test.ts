// Recall of SmolLM2-135M-Instruct: one secret number in 3,400 tokens of real text, 10 documents.

import { countOf, recallOf } from "../../eval/recall.ts";
import { SECRET_TOKENS_MAX, secretDocument } from "../../eval/secret.ts";
import { tokenizerOf } from "../../eval/source.ts";
import { longText } from "../../eval/text.ts";
import { smollm2 } from "../../tools/smollm2.ts";
import { assert, assertEquals, test } from "../harness.ts";

const TOKENS = 3_400;
const DOCUMENTS = 10;
// Behind TOKENS: the text is encoded anew once the fact stands in it.
const ROOM_TOKENS = 200;

test("SmolLM2 recalls with specache every secret number that it recalls with full", async () => {
  const model = await smollm2();
  const codec = tokenizerOf(model);
  const text = codec.encode(await longText());
  const documents = Array.from({ length: DOCUMENTS }, (_, seed) => {
    const { prompt, answer } = secretDocument({ codec, text, seed, tokens: TOKENS });
    return { prompt, recalled: (generated: string) => generated.trim().startsWith(answer) };
  });
  const of = (mode: "full" | "specache") =>
    recallOf(
      { model, mode, contextTokens: TOKENS + ROOM_TOKENS },
      documents,
      SECRET_TOKENS_MAX,
    );
  const [full, specache] = [await of("full"), await of("specache")];
  console.log(`  full ${countOf(full)}, specache ${countOf(specache)} of ${DOCUMENTS}`);
  assert(countOf(full) >= 0.8 * DOCUMENTS); // else the task, not the cache, is at fault
  assertEquals(specache.map((right, at) => right || !full[at]), specache.map(() => true));
});
