// Several texts in one step: each has the tokens and logprobs that it has alone, whatever else is
// stepped beside it, and what ends or fails one ends no other.
import { decode, type DecodeEvent, type Run } from "../../engine/decode.ts";
import { DecodeState } from "../../engine/decode_state.ts";
import { type NativeStore, optionsOf } from "../../engine/native.ts";
import { Observer } from "../../engine/observer.ts";
import { PIECE_TOKENS, Scheduler } from "../../engine/scheduler.ts";
import { settleRequest } from "../../engine/settings.ts";
import { type CacheOptions, type GenerateOptions, SpecacheError } from "../../mod.ts";
import { needleModel } from "../../eval/source.ts";
import {
  assert,
  assertEquals,
  assertGreater,
  assertInstanceOf,
  assertLess,
  test,
} from "../harness.ts";
import { openModel } from "../parity/run.ts";
import { assertRefused, K, textIds } from "./support.ts";

const idsOf = (length: number, seed: number) => textIds(340, seed).slice(0, length);
const REQUEST = { k: K, late: "all" } as const;
const SEQUENCES = 6;

async function withModel(
  options: CacheOptions,
  body: (store: NativeStore) => void | Promise<void>,
): Promise<void> {
  const store = openModel(needleModel, 400, { k: K, sequences: SEQUENCES, ...options });
  try {
    await body(store);
  } finally {
    store.close();
  }
}

/** Texts of odd lengths, around a page's end, and what is asked of each. */
const asked: readonly { readonly length: number; readonly options: GenerateOptions }[] = [
  { length: 3, options: { maxTokens: 9 } },
  { length: 63, options: { maxTokens: 12, guesses: 1, accept: "off" } },
  { length: 128, options: { maxTokens: 5, temperature: 0.8, seed: 8 } },
  { length: 200, options: { maxTokens: 20, accept: "on" } },
  { length: 319, options: { maxTokens: 7, logprobs: 3, guesses: 2 } },
  { length: 330, options: { maxTokens: 1 } },
];

function runsOf(store: NativeStore, more: Partial<Run> = {}): Run[] {
  return asked.map(({ length, options }, at) => {
    const state = new DecodeState(store.openSequence());
    state.ask(idsOf(length, at + 1));
    const mine = store.settings.mode === "paper" ? { maxTokens: options.maxTokens } : options;
    const request = settleRequest(mine, store.settings, "generate");
    return { store, state, request, eos: [], cancelled: () => false, ...more };
  });
}

type Token = DecodeEvent & { readonly kind: "token" };

function alone(store: NativeStore): Token[][] {
  return runsOf(store).map((run) => {
    const tokens = [...decode(run)].filter((event) => event.kind === "token");
    store.closeSequence(run.state.sequence);
    return tokens;
  });
}

async function together(
  store: NativeStore,
  runs: readonly Run[],
  told: (run: number, tokens: number) => void = () => {},
) {
  const tokens: Token[][] = runs.map(() => []);
  const scheduler = new Scheduler(store, new Observer(store));
  const ends = runs.map((run, at) =>
    scheduler.run(run, (event) => {
      if (event.kind === "token") told(at, tokens[at].push(event));
    })
  );
  const outcomes = await Promise.allSettled(ends);
  assertEquals(scheduler.running, 0);
  return { tokens, outcomes };
}

const ended = { status: "fulfilled", value: "length" } as const;

const modes: readonly CacheOptions[] = [
  { mode: "full" },
  { mode: "paper" },
  { mode: "specache" },
  { mode: "specache", slots: 24 },
];
for (const options of modes) {
  test(`texts decoded together are those decoded alone, ${JSON.stringify(options)}`, () =>
    withModel(options, async (store) => {
      const expected = alone(store);
      const shared: number[] = [];
      const steps = store.steps.bind(store);
      store.steps = (shares) => {
        shared.push(shares.length);
        return steps(shares);
      };
      const { tokens, outcomes } = await together(store, runsOf(store));
      assertEquals(tokens, expected);
      assert(Math.max(...shared) >= asked.length - 3); // prompts are read one after another
      assertLess(shared.length, tokens.flat().length / 2);
      assertEquals(outcomes, asked.map(() => ended));
    }));
}

test("a text that fails, is cancelled or is stopped ends alone", () =>
  withModel({}, async (store) => {
    const expected = alone(store);
    const runs = runsOf(store);
    let looks = 0;
    const fault = new Error("no draw");
    const changed: Run[] = runs.map((run, at) => ({
      ...run,
      ...at === 1 && { cancelled: () => ++looks > 6 },
      ...at === 2 && {
        draw(): number {
          throw fault;
        },
      },
    }));
    const { tokens, outcomes } = await together(store, changed);
    assertEquals(outcomes[1], { status: "fulfilled", value: "cancelled" });
    assertEquals(outcomes[2], { status: "rejected", reason: fault });
    assert(tokens[1].length > 0 && tokens[1].length < expected[1].length);
    assertEquals(tokens[1], expected[1].slice(0, tokens[1].length));
    for (const other of [0, 3, 4, 5]) assertEquals(tokens[other], expected[other]);
  }));

test("no step is at work where an event is told: whoever takes it may fork any text", () =>
  withModel({ sequences: SEQUENCES + 1 }, async (store) => {
    const expected = alone(store);
    const runs = runsOf(store);
    const { tokens } = await together(store, runs, () => {
      for (const { state } of runs) store.closeSequence(store.fork(state.sequence));
    });
    assertEquals(tokens, expected);
  }));

test("a sequence that is closed meanwhile fails alone, in the library's words", () =>
  withModel({}, async (store) => {
    const expected = alone(store);
    const runs = runsOf(store);
    const { tokens, outcomes } = await together(store, runs, (run, tokens) => {
      if (run === 1 && tokens === 2) store.closeSequence(runs[1].state.sequence);
    });
    const [, failed] = outcomes;
    assert(failed.status === "rejected");
    assertInstanceOf(failed.reason, SpecacheError);
    assertEquals(failed.reason.code, "handle");
    for (const other of [0, 2, 3, 4, 5]) assertEquals(tokens[other], expected[other]);
  }));

test("a prompt is read in pieces between the steps of others, and changes no token of theirs", () =>
  withModel({}, async (store) => {
    const expected = alone(store);
    const reads = readsOf(store);
    const order: string[] = [];
    const { prefill, steps } = store;
    store.prefill = (...given) => (order.push("read"), prefill.apply(store, given));
    store.steps = (...given) => (order.push("step"), steps.apply(store, given));
    const { tokens } = await together(store, runsOf(store));
    assertEquals(tokens, expected);
    const last = order.lastIndexOf("read");
    for (let at = 1; at < last; at++) { // from then on some text decodes
      if (order[at] === "read") assertEquals(order[at + 1], "step", order.join());
    }
    const sizes = reads.map(({ tokens }) => tokens);
    assertEquals(Math.max(...sizes), PIECE_TOKENS);
    assertEquals(sizes.reduce((sum, read) => sum + read), 3 + 63 + 128 + 200 + 319 + 330);
  }));

test("prompts are read in turn, a piece of each; one that is alone is read at once", () =>
  withModel({ sequences: SEQUENCES + 1 }, async (store) => {
    const [, , , three, four, five] = runsOf(store); // prompts of 200, 319 and 330 tokens
    const reads = readsOf(store);
    await together(store, [three, four, five]);
    const all = [three, four, five].map(({ state }) => state.sequence);
    const ofAll = (from: number) => reads.slice(from, from + 3).map(({ sequence }) => sequence);
    assertEquals([ofAll(0), ofAll(3)], [all, all]);
    assertEquals(ofAll(6), all.slice(1));
    reads.length = 0;
    const alone = { ...three, state: new DecodeState(store.openSequence()) };
    alone.state.ask(idsOf(330, 9));
    await together(store, [alone]);
    assertEquals(reads.map(({ tokens }) => tokens), [330]);
    assertGreater(330, PIECE_TOKENS);
  }));

// What is read of prompts from now on.
function readsOf(store: NativeStore): { sequence: bigint; tokens: number }[] {
  const reads: { sequence: bigint; tokens: number }[] = [];
  const prefill = store.prefill.bind(store);
  store.prefill = (sequence, ids, logits) => {
    reads.push({ sequence, tokens: ids.length });
    return prefill(sequence, ids, logits);
  };
  return reads;
}

test("a text whose verdict does not come keeps no other waiting, and goes on with it", () =>
  withModel({}, async (store) => {
    const expected = alone(store);
    const runs = runsOf(store);
    const scheduler = new Scheduler(store, new Observer(store));
    const tokens: Token[][] = runs.map(() => []);
    const verdict = Promise.withResolvers<boolean>();
    const all = runs.map((run, at) =>
      scheduler.run(run, (event) => {
        if (event.kind !== "token") return;
        return tokens[at].push(event) === 2 && at === 0 ? verdict.promise : false;
      })
    );
    await Promise.all(all.slice(1)); // for ever, if they waited for it
    assertEquals([scheduler.running, tokens[0].length], [1, 2]);
    verdict.resolve(false);
    assertEquals(await all[0], "length");
    assertEquals(tokens, expected);
  }));

test("a turn that fails as a whole fails all that run: none waits for ever", () =>
  withModel({}, async (store) => {
    const fault = new Error("no settings");
    const runs = runsOf(store);
    const broken = Object.create(store, {
      settings: {
        get() {
          throw fault;
        },
      },
    });
    const scheduler = new Scheduler(broken, new Observer(store));
    const outcomes = await Promise.allSettled(runs.map((run) => scheduler.run(run, () => {})));
    assertEquals(outcomes, runs.map(() => ({ status: "rejected", reason: fault })));
    assertEquals(scheduler.running, 0);
  }));

test("a step of several sequences is refused with whose it is, its value and its limit", () =>
  withModel({}, async (store) => {
    const sequences = [idsOf(100, 1), idsOf(70, 2)].map((ids) => {
      const sequence = store.openSequence();
      store.prefill(sequence, ids, null);
      return sequence;
    });
    const share = (at: number, inputs: number[] = [5]) => (
      { sequence: sequences[at], inputs, trusted: 1, options: optionsOf(REQUEST), logits: null }
    );
    const name = (at: number) => `sequence ${sequences[at]}`;
    const { vocabulary } = store;
    const refusals: readonly [() => unknown, string][] = [
      [() => store.steps([]), "sequences 0 of a step are below 1"],
      [() => store.steps(Array(SEQUENCES + 1).fill(share(0))), "are above sequences 6"],
      [() => store.steps([share(1), share(0), share(1)]), `${name(1)} is given twice, at 0 and 2`],
      [() => store.steps([share(0, [])]), "inputs 0 is outside 1..4"],
      [() => store.steps([share(1), share(0, [])]), `${name(0)}: inputs 0 is outside 1..4`],
      [
        () => store.steps([share(1), share(0, [vocabulary])]),
        `${name(0)}: token ${vocabulary} at 0 is not below the vocabulary's`,
      ],
    ];
    for (const [call, text] of refusals) await assertRefused(call, "argument", text);
    const whole = store.steps([share(0), share(1)])!;
    await assertRefused(() => store.steps([share(1)]), "argument", "a step of 1 inputs has had");
    for (const sequence of sequences) store.keep(sequence, 0);
    assertEquals(store.steps([share(1), share(0)]), whole.toReversed());
    for (const sequence of sequences) store.keep(sequence, 0);
    const logits = sequences.map(() => new Float32Array(vocabulary));
    const both = [share(0), share(1)].map((each, at) => ({ ...each, logits: logits[at] }));
    assertEquals(store.steps(both), whole);
    for (const [at, [{ id, logit }]] of whole.entries()) assertEquals(logits[at][id], logit);
    const short = { ...both[0], logits: new Float32Array(vocabulary - 1) };
    await assertRefused(() => store.steps([short]), "internal", "are below");
  }));
