// Two keys are two tenants: answers to one tell nothing of what the other has asked, nor does their
// time. (What the whole engine has done is told to the operator's key: tests/routes/operator.)
import { needleDocument } from "../../eval/needle.ts";
import { needleModel, shippedSource } from "../../eval/source.ts";
import { Engine } from "../../mod.ts";
import { createApp } from "../../routes/app.ts";
import { assert, assertEquals, test } from "../harness.ts";

const TEXTS = 16; // of each kind
const TOKENS = 900;

/**
 * The share of pairs in which the first is smaller: 1/2 where nothing tells them apart. By chance
 * alone it is off by .11 (one sigma of TEXTS against TEXTS: sqrt((2 n + 1) / (12 n^2))).
 */
function shareBelow(first: readonly number[], second: readonly number[]): number {
  const pairs = first.flatMap((one) => second.map((two) => one < two ? 1 : one === two ? 0.5 : 0));
  return pairs.reduce((sum: number, each) => sum + each, 0) / pairs.length;
}

test("a tenant cannot tell by its answers or their time what another has asked", async () => {
  const source = await shippedSource();
  await using engine = await Engine.open({
    ...{ model: needleModel, contextTokens: 1024, sequences: 2 + 4 * TEXTS, prefixes: 4 * TEXTS },
    chatTemplate: "{% for m in messages %}{{ m.content }}\n{% endfor %}",
  });
  const app = createApp(engine, { name: "needle", keys: ["mine", "theirs"] });
  const ask = async (key: string, seed: number) => {
    const { ids } = needleDocument(source, { seed, tokens: TOKENS, facts: 6 });
    const messages = [{ role: "user", content: engine.tokenizer!.decode(ids) }];
    const request = new Request("http://localhost/v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${key}` },
      body: JSON.stringify({ model: "needle", messages, max_tokens: 1 }),
    });
    const began = performance.now();
    const { usage } = await (await app.fetch(request)).json();
    return {
      ms: performance.now() - began,
      cached: usage.prompt_tokens_details.cached_tokens as number,
    };
  };
  for (let at = 0; at < TEXTS; at++) await ask("theirs", at);
  const [asked, fresh, own]: number[][] = [[], [], []];
  for (let at = 0; at < TEXTS; at++) {
    const another = await ask("mine", at); // the other tenant has asked it
    const nobody = await ask("mine", 1000 + at);
    assertEquals([another.cached, nobody.cached], [0, 0]);
    asked.push(another.ms);
    fresh.push(nobody.ms);
    const again = await ask("mine", at);
    assert(again.cached > TOKENS / 2);
    own.push(again.ms);
  }
  const told = shareBelow(asked, fresh);
  assert(told > 0.1 && told < 0.9, `${told} of pairs`); // 3.6 sigma
  const known = shareBelow(own, fresh);
  assert(known > 0.95, `one's own text is not faster: ${known} of pairs`); // it would be seen
});
