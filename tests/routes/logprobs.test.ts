// Tokens and their bytes as OpenAI's clients read them.
import type { Piece } from "../../mod.ts";
import { logprobsOf } from "../../routes/logprobs.ts";
import { assertEquals, test } from "../harness.ts";

test("a token has the bytes of its text, and none where it is part of a character", () => {
  const texts = ["h\u00e9", "\uFFFD", " \uFFFD"];
  const engine = { tokenText: (id: number) => texts[id] };
  const likely: [number, number][] = [[1, -1], [0, -2]];
  const pieces: Piece[] = [0, 1, 2].map((id) => (
    { id, text: "", logprob: -3, logprobs: likely }
  ));
  const [whole, part, behind] = logprobsOf(engine, pieces, 1);
  assertEquals([whole.token, whole.bytes], ["h\u00e9", [0x68, 0xc3, 0xa9]]);
  assertEquals([part.bytes, behind.bytes], [null, null]);
  assertEquals(whole.top_logprobs, [{ token: "\uFFFD", logprob: -1, bytes: null }]);
});
