// A schema that would keep the library busy, or break it, does so in a thread of its own.
import process from "node:process";
import { Constraint } from "../../engine/constrain/constraint.ts";
import {
  FORMATS_MAX,
  GrammarThreads,
  type HeldFormat,
} from "../../engine/constrain/grammar_threads.ts";
import { Mailbox } from "../../engine/constrain/mailbox.ts";
import { faultOfSchema, type JsonSchema } from "../../engine/constrain/schema.ts";
import { assert, assertEquals, test } from "../harness.ts";
import { assertRefused } from "../engine/support.ts";

const letters = Array.from({ length: 94 }, (_, at) => String.fromCharCode(33 + at));
const tokens = ["", "Ġ", ...letters, ...letters.map((letter) => letter.repeat(8))];

/** Runs `body` with threads, and ends them; `asked` counts what is compiled. */
async function withThreads(
  body: (threads: GrammarThreads, asked: () => number) => Promise<void>,
  limitMs?: number,
): Promise<void> {
  let asked = 0;
  const threads = new GrammarThreads(() => (asked++, { tokens, eos: [0] }), limitMs);
  try {
    await body(threads, () => asked);
  } finally {
    threads.close();
  }
}

function nested(depth: number): JsonSchema {
  return depth === 0 ? {} : { type: "array", items: nested(depth - 1), maxItems: 1000 };
}

const heavy = (more = 0) => ({ anyOf: Array.from({ length: 13 + more }, () => nested(14)) });
const constant = (value: string) => ({ schema: { const: value } });

/** A text that is held to a format, drawn from logits that are all alike. */
function drawn({ memory }: HeldFormat): Constraint {
  return new Constraint(new Mailbox(tokens.length, memory).open(), tokens.length);
}

/** The next token's text, of those that may come the last. */
function next(text: Constraint, ahead: readonly number[] = []): string {
  const logits = Float32Array.from(tokens.keys());
  const best = (all: Float32Array) =>
    all.reduce((most, logit, id) => logit > all[most] ? id : most, 0);
  const id = text.draw({ logits, ahead, unfiltered: false }, best);
  assertEquals(text.draw({ logits, ahead, unfiltered: true }, best), id);
  if (ahead.length === 0) text.add([id]);
  return tokens[id];
}

test("a format is compiled once, and texts are held to it again", () =>
  withThreads(async (threads, asked) => {
    const schema: JsonSchema = { type: "object", properties: { a: { enum: ["b", "c"] } } };
    for (let i = 0; i < 3; i++) (await threads.hold({ schema })).release();
    assertEquals(asked(), 1);
    (await threads.hold({ schema, begin: "a" })).release();
    (await threads.hold("json")).release();
    assertEquals(asked(), 3);
  }));

test("texts of several formats, and several of one, go on beside each other", () =>
  withThreads(async (threads) => {
    const held = await Promise.all(["ab", "ab", "xyz"].map((each) => threads.hold(constant(each))));
    const texts = held.map(drawn);
    const came = texts.map(() => "");
    for (let step = 0; step < 6; step++) {
      for (const [at, text] of texts.entries()) {
        if (came[at].length > 1 && came[at].endsWith('"')) continue;
        // Guesses, right and wrong, leave no trace.
        next(text, [tokens.indexOf("a"), tokens.indexOf('"'), 1]);
        came[at] += next(text);
      }
    }
    assertEquals(came, ['"ab"', '"ab"', '"xyz"']);
    for (const text of texts) text.close();
    for (const each of held) each.release();
  }));

test("a schema with too many ways to read it is refused, and others pass after it", () =>
  withThreads(async (threads) => {
    const schema = heavy();
    assertEquals(faultOfSchema(schema), null);
    const sentence = "the schema of the format takes above 1000 ms to be compiled";
    const late = assertRefused(() => threads.hold({ schema }), "argument", sentence);
    await threads.hold(constant("a"));
    await late;
    await threads.hold(constant("b"));
  }, 1000));

test("a schema that was refused keeps no core", () =>
  withThreads(async (threads) => {
    await Promise.all([0, 1].map((more) => {
      const ask = () => threads.hold({ schema: heavy(more) });
      return assertRefused(ask, "argument", "takes above 200 ms");
    }));
    // Where a thread went on, no tenth of a second would be without its work.
    for (let share = 1; share > 0.2;) {
      const [begun, before] = [performance.now(), process.cpuUsage()];
      await new Promise((on) => setTimeout(on, 100));
      const { user, system } = process.cpuUsage(before);
      share = (user + system) / 1000 / (performance.now() - begun);
    }
  }, 200));

test("a client's schemas hold up its own, another's waits for a free thread alone", () =>
  withThreads(async (threads) => {
    const order: string[] = [];
    const late = [0, 1, 2, 3].map(async (at) => {
      const ask = () => threads.hold({ schema: heavy(at) }, "many");
      await assertRefused(ask, "argument", "above 1500 ms");
      order.push(`many ${at}`);
    });
    await threads.hold(constant("a"), "few");
    order.push("few");
    await Promise.all(late);
    assert(order.indexOf("few") <= 2, order.join()); // two are compiled at a time
  }, 1500));

test("a format that is compiled is had at once while others are compiled", () =>
  withThreads(async (threads) => {
    await threads.hold(constant("a"));
    let told = false;
    const late = [0, 1, 2].map((at) =>
      assertRefused(() => threads.hold({ schema: heavy(at) }), "argument", "above 1000 ms")
        .finally(() => told = true)
    );
    const text = drawn(await threads.hold(constant("a")));
    assertEquals([next(text), next(text), told], ['"', "a", false]);
    await Promise.all(late);
  }, 1000));

test("a format that several ask for at a time is compiled once", () =>
  withThreads(async (threads, asked) => {
    const hold = () => threads.hold(constant("a"));
    await Promise.all([hold(), hold(), hold()]);
    assertEquals(asked(), 1);
  }));

test("a schema that breaks the library is refused, and others pass after it", () =>
  withThreads(async (threads) => {
    // Deeper than any that is let through.
    let deep: JsonSchema = {};
    for (let depth = 0; depth < 100; depth++) deep = { type: "object", properties: { a: deep } };
    const hold = () => threads.hold({ schema: deep });
    await assertRefused(hold, "unsupported", "cannot be compiled");
    await threads.hold(constant("a"));
  }, 60_000));

test("as many formats are held as may be: another waits, and who comes then waits behind it", () =>
  withThreads(async (threads, asked) => {
    const held = [];
    for (let at = 0; at < FORMATS_MAX; at++) held.push(await threads.hold(constant(`${at}`)));
    const order: string[] = [];
    const hold = async (value: string) => {
      const each = await threads.hold(constant(value));
      order.push(value);
      each.release();
    };
    const waits = [hold("another"), hold("0")];
    await new Promise((later) => setTimeout(later, 100));
    assertEquals([order, asked()], [[], FORMATS_MAX]);
    held[3].release();
    await Promise.all(waits);
    assertEquals(order.toSorted(), ["0", "another"]);
    assertEquals(asked(), FORMATS_MAX + 1);
    for (const [at, each] of held.entries()) if (at !== 3) each.release();
  }));

test("who gives up waits no longer for a format, and nothing is compiled for it", () =>
  withThreads(async (threads, asked) => {
    for (let at = 0; at < FORMATS_MAX; at++) await threads.hold(constant(`${at}`));
    let cancelled = false;
    const waits = threads.hold(constant("another"), "", () => cancelled);
    threads.gaveUp(); // somebody else
    cancelled = true;
    threads.gaveUp();
    assertEquals(await waits, null);
    assertEquals(asked(), FORMATS_MAX);
  }));

test("of formats that no text is held to, the one asked for last is kept longest", () =>
  withThreads(async (threads, asked) => {
    const ask = async (value: string) => (await threads.hold(constant(value))).release();
    for (let at = 0; at < FORMATS_MAX; at++) await ask(`${at}`);
    await ask("0");
    await ask("another");
    assertEquals(asked(), FORMATS_MAX + 1);
    for (const kept of ["0", "another", "2"]) await ask(kept);
    assertEquals(asked(), FORMATS_MAX + 1);
    await ask("1");
    assertEquals(asked(), FORMATS_MAX + 2);
  }));

test("whoever waits when all is closed is refused, and whoever comes later", async () => {
  const threads = new GrammarThreads(() => ({ tokens, eos: [0] }));
  const waits = [0, 1, 2].map((at) =>
    assertRefused(() => threads.hold({ schema: heavy(at) }), "closed", "it is closed")
  );
  threads.close();
  threads.close();
  await Promise.all(waits);
  await assertRefused(() => threads.hold("json"), "closed", "it is closed");
});

test("a thread that failed is not asked again, and its format is compiled anew", () =>
  withThreads(async (threads, asked) => {
    const held = await threads.hold(constant("a"));
    const text = drawn(held);
    new Mailbox(tokens.length, held.memory).end();
    const failed = () => Promise.resolve().then(() => next(text));
    await assertRefused(failed, "internal", "the library of grammars has failed");
    text.close();
    held.release();
    assertEquals(next(drawn(await threads.hold(constant("a")))), '"');
    assertEquals(asked(), 2);
  }));

test("an answer that never comes is not waited for for ever", async () => {
  const open = () => Promise.resolve().then(() => new Mailbox(tokens.length).open());
  await assertRefused(open, "internal", "has not answered for 2000 ms");
});
