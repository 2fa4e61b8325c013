// Conversations: the template's text is the prompt, and a session reads of each turn only what is
// new, whatever of the conversation changed.
import type { Engine, GenerateOptions, Message, Session } from "../../mod.ts";
import { assert, assertEquals, assertGreater, test } from "../harness.ts";
import { goldenPath } from "../parity/golden.ts";
import { assertRefused, CONTEXT, openNeedle, type Options, withEngine } from "./support.ts";

const chatTemplate = `{% for m in messages %}{% if m.role == 'tool' %}` +
  `{{ raise_exception('No tools here') }}{% endif %}{{ m.role }}:{{ m.content }}\n{% endfor %}` +
  `{% if add_generation_prompt %}assistant:{% endif %}`;
const withChat = (options: Options, body: (engine: Engine) => Promise<void>) =>
  withEngine({ mode: "full", kvType: "f32", chatTemplate, ...options }, body);

const system: Message = { role: "system", content: "The code of amber is 44219." };
const first: Message[] = [system, { role: "user", content: "What is the code of amber?" }];
const second: Message = { role: "user", content: "And the code of the river is 5. What is it?" };
const maxTokens = 12;

function textOf(messages: readonly Message[]): string {
  return messages.map(({ role, content }) => `${role}:${content}\n`).join("") + "assistant:";
}

async function answered(session: Session, messages: readonly Message[]) {
  const result = await session.generate({ messages, maxTokens }).result;
  const answer: Message = { role: "assistant", content: result.text };
  return { ...result, conversation: [...messages, answer] };
}

test("messages are the template's text, and nothing before it", () =>
  withChat({}, async (engine) => {
    assertEquals(engine.conversation(first), textOf(first));
    const ids = engine.tokenizer!.encode(textOf(first), false);
    const of = await engine.generate({ messages: first, maxTokens }).result;
    const plain = await engine.generate({ ids, maxTokens }).result;
    assertEquals([of.tokens, of.usage], [plain.tokens, plain.usage]);
  }));

test("a second turn reads what is new, and its text is that of one long prompt", () =>
  withChat({ sequences: 2 }, async (engine) => {
    await using session = await engine.session();
    const one = await answered(session, first);
    assertEquals(one.usage.cachedTokens, 0);
    const messages = [...one.conversation, second];
    const two = await answered(session, messages);
    // The answer's ids stay what they were; its last token was not read yet.
    const written = textOf(first) + one.text;
    const encode = (text: string) => engine.tokenizer!.encode(text, false);
    const rest = encode(textOf(messages).slice(written.length));
    const { promptTokens, cachedTokens } = two.usage;
    assertEquals(cachedTokens, one.usage.promptTokens + maxTokens - 1);
    assertEquals(promptTokens, 1 + rest.length);
    const ids = [...encode(textOf(first)), ...one.tokens, ...rest];
    const whole = await engine.generate({ ids, maxTokens }).result;
    assertEquals(two.tokens, whole.tokens);
    assertEquals(session.length, ids.length + maxTokens - 1);
  }));

test("a fork goes on with a conversation as its origin does", () =>
  withChat({ sequences: 2 }, async (engine) => {
    await using session = await engine.session();
    const { conversation } = await answered(session, first);
    await using fork = await session.fork();
    const messages = [...conversation, second];
    const [one, other] = [await answered(session, messages), await answered(fork, messages)];
    assertEquals([other.tokens, other.usage], [one.tokens, one.usage]);
  }));

test("an answer that a stop string cut is read again as the text that it is", () =>
  withChat({ sequences: 2 }, async (engine) => {
    await using session = await engine.session();
    const { text } = await answered(session, first);
    const stop = text.slice(4, 6);
    const cut = await session.generate({ messages: first, maxTokens, stop }).result;
    assertEquals([cut.stop, cut.text], ["stop", text.slice(0, text.indexOf(stop))]);
    const messages: Message[] = [...first, { role: "assistant", content: cut.text }, second];
    const given = await answered(session, messages);
    const whole = await engine.generate({ messages, maxTokens }).result;
    assertEquals(given.tokens, whole.tokens);
  }));

for (const options of [{}, { mode: "specache", far: "file", sequences: 2 }] as const) {
  test(`a conversation that changed is read from its change on, ${JSON.stringify(options)}`, () =>
    withChat({ sequences: 2, ...options }, async (engine) => {
      await using session = await engine.session();
      const { conversation } = await answered(session, first);
      await answered(session, [...conversation, second]);
      const [, asked] = first;
      for (
        const [messages, most] of [
          [first, Infinity],
          [[system, { ...asked, content: "What is the weather?" }], 40],
          [[{ ...system, content: "Amber." }, asked], 10],
          [[asked], 3],
          [first, 3],
        ] as const
      ) {
        const given = await answered(session, messages);
        const whole = await engine.generate({ messages, maxTokens }).result;
        assertEquals(given.tokens, whole.tokens);
        const { cachedTokens, promptTokens } = given.usage;
        assertEquals(cachedTokens + promptTokens, whole.usage.promptTokens);
        assert(cachedTokens <= most && promptTokens > 0, `${cachedTokens} ${promptTokens}`);
        assertEquals(session.length, whole.usage.promptTokens + maxTokens - 1);
      }
    }));
}

test("the same conversation twice reads its last token alone", () =>
  withChat({}, async (engine) => {
    await using session = await engine.session();
    const one = await answered(session, first);
    const again = await answered(session, first);
    assertEquals(again.tokens, one.tokens);
    assertEquals(again.usage.promptTokens, 1);
  }));

test("a conversation that was cancelled in its prompt is read on by the next request", () =>
  withChat({ contextTokens: 3_000, sequences: 2 }, async (engine) => {
    const long: Message[] = [{ role: "user", content: "The weather is fine. ".repeat(300) }];
    await using session = await engine.session();
    const controller = new AbortController();
    const { signal } = controller;
    const progress = () => controller.abort();
    const cut = await session.generate({ messages: long, signal, progress }).result;
    assertEquals(cut.stop, "cancelled");
    assertGreater(session.length, 0);
    const given = await answered(session, long);
    const whole = await engine.generate({ messages: long, maxTokens }).result;
    assertEquals(given.tokens, whole.tokens);
    assertEquals(given.usage.cachedTokens + given.usage.promptTokens, whole.usage.promptTokens);
  }));

test("a conversation goes on behind raw text by what they share, and refusals change nothing", () =>
  withChat({ sequences: 2 }, async (engine) => {
    await using session = await engine.session();
    const { length } = engine.tokenizer!.encode(textOf([system]), false);
    await session.generate({ prompt: textOf([system]), maxTokens: 3 }).result;
    for (const [options, message, code] of refusals) {
      await assertRefused(() => session.generate(options).result, code, message);
      assertEquals(session.length, length + 2);
    }
    const given = await answered(session, first);
    assertGreater(given.usage.cachedTokens, length / 2);
    const whole = await engine.generate({ messages: first, maxTokens }).result;
    assertEquals(given.tokens, whole.tokens);
  }));

const user = { role: "user", content: "a" };
const untyped = (messages: unknown) => ({ messages }) as GenerateOptions;
const refusals: readonly (readonly [GenerateOptions, string, "argument" | "capacity"])[] = [
  [untyped([]), "messages [] is empty", "argument"],
  [untyped("hello"), "messages hello is not an array", "argument"],
  [untyped([null]), "messages[0] null is not an object", "argument"],
  [untyped([{ role: "user" }]), "messages[0].content is missing", "argument"],
  [untyped([user, { ...user, content: 5 }]), "messages[1].content 5 is not a string", "argument"],
  [untyped([{ ...user, role: "usr" }]), "role usr is none of system, user, ", "argument"],
  [untyped([{ ...user, mood: "x" }]), "option mood of messages[0] is not known", "argument"],
  [untyped([{ ...user, role: "tool" }]), "model needle refuses it: No tools here", "argument"],
  [{ messages: first, prompt: "a" }, "prompt and messages are both given", "argument"],
  [{ messages: first, ids: [1] }, "messages and ids are both given", "argument"],
  [{ messages: first, maxTokens: CONTEXT }, `maxTokens ${CONTEXT} are above`, "capacity"],
];

test("a model without a template refuses a conversation, by name", async () => {
  await using engine = await openNeedle();
  for (const ask of [engine.generate.bind(engine), () => engine.conversation(first)]) {
    const sentence = "model needle has no chat template, so chatTemplate or a prompt must be given";
    await assertRefused(() => ask({ messages: first }), "unsupported", sentence);
  }
});

test("a model without a tokenizer refuses a conversation", async () => {
  const model = goldenPath("llama-plain");
  await using engine = await openNeedle({ model, contextTokens: 64, chatTemplate });
  const ask = () => engine.generate({ messages: first });
  await assertRefused(ask, "unsupported", "has no tokenizer, so ids must be given");
});
