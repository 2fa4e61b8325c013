import { secretDocument } from "../../eval/secret.ts";
import { assert, assertEquals, test } from "../harness.ts";

const letters = {
  encode: (text: string) => [...text].map((letter) => letter.charCodeAt(0)),
  decode: (ids: readonly number[]) => String.fromCharCode(...ids),
};
const text = letters.encode("The first is here. The second follows! Is it the third? ".repeat(40));
const of = (seed: number) => secretDocument({ codec: letters, text, seed, tokens: 1_000 });

test("secretDocument() hides the answer once and asks for it by name", () => {
  const { prompt, answer } = of(1);
  assert(/^\d{6}$/.test(answer));
  assertEquals(prompt.split(answer).length, 2);
  const name = prompt.match(/The secret number of the (\w+ \w+) is \d/)?.[1];
  assert(prompt.endsWith(`<|im_start|>assistant\nThe secret number of the ${name} is`));
});

test("secretDocument() is the same for the same seed and another for another", () => {
  assertEquals(of(2), of(2));
  assert(of(2).prompt !== of(3).prompt);
});
