// SmolLM2 in conversation: the template in its GGUF file against strings written by hand, and
// several turns in one session.
import { Engine, type Message } from "../../mod.ts";
import { smollm2 } from "../../tools/smollm2.ts";
import { assertEquals, assertStringIncludes, test } from "../harness.ts";

const model = await smollm2();
const user = (content: string): Message => ({ role: "user", content });

test("SmolLM2's template gives the strings that it was trained on", async () => {
  await using engine = await Engine.open({ model, contextTokens: 256 });
  assertEquals(
    engine.conversation([user("Hi")]),
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face" +
      "<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
  );
  assertEquals(
    engine.conversation([
      { role: "system", content: "Be brief." },
      user("Hi"),
      { role: "assistant", content: " Hello! " },
      user("And?"),
    ]),
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n" +
      "<|im_start|>assistant\n Hello! <|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n" +
      "<|im_start|>assistant\n",
  );
});

test("SmolLM2 answers turn after turn, ends by itself, and reads what is new", async () => {
  await using engine = await Engine.open({
    model,
    contextTokens: 1_024,
    mode: "full",
    kvType: "f32",
    sequences: 2,
  });
  await using session = await engine.session();
  let messages = [user("What is the capital of France?")];
  let held = 0;
  for (const question of ["And of Italy?", "Which of the two is larger?", ""]) {
    const options = { messages, maxTokens: 100 };
    const { text, stop, tokens, usage } = await session.generate(options).result;
    const whole = await engine.generate(options).result;
    assertEquals([text, stop], [whole.text, "eos"]);
    assertEquals(usage.promptTokens + usage.cachedTokens, whole.usage.promptTokens);
    if (held > 0) assertEquals(usage.cachedTokens, held);
    else assertStringIncludes(text, "Paris");
    held = usage.promptTokens + usage.cachedTokens + tokens.length;
    messages = [...messages, { role: "assistant", content: text }, user(question)];
  }
});
