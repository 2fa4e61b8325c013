// Steps in a row: a request that is alone has the tokens that steps one by one give, in fewer
// calls of the library, and stops where it is to stop.
import { decode, type DecodeEvent, type Run } from "../../engine/decode.ts";
import { DecodeState } from "../../engine/decode_state.ts";
import { type NativeStore, UNDECIDED } from "../../engine/native.ts";
import { Observer } from "../../engine/observer.ts";
import { Scheduler } from "../../engine/scheduler.ts";
import { settleRequest } from "../../engine/settings.ts";
import type { CacheOptions, GenerateOptions } from "../../mod.ts";
import { needleModel } from "../../eval/source.ts";
import { assert, assertEquals, assertGreater, assertLess, test } from "../harness.ts";
import { openModel } from "../parity/run.ts";
import { K, textIds } from "./support.ts";

const TOKENS = 40;
const prompt = textIds(130, 5);

async function withModel(
  options: CacheOptions,
  body: (store: NativeStore) => void | Promise<void>,
): Promise<void> {
  const store = openModel(needleModel, 600, { k: K, sequences: 20, ...options });
  try {
    await body(store);
  } finally {
    store.close();
  }
}

function runOf(store: NativeStore, options: GenerateOptions, more: Partial<Run> = {}): Run {
  const state = new DecodeState(store.openSequence());
  state.ask(prompt);
  const request = settleRequest({ maxTokens: TOKENS, ...options }, store.settings, "generate");
  return { store, state, request, eos: [], cancelled: () => false, ...more };
}

const idsIn = (events: Iterable<DecodeEvent>) =>
  [...events].flatMap((event) => event.kind === "token" ? [event.id] : []);

function oneByOne(store: NativeStore, options: GenerateOptions, more: Partial<Run> = {}): number[] {
  const run = runOf(store, options, more);
  const ids = idsIn(decode(run));
  store.closeSequence(run.state.sequence);
  return ids;
}

/** The steps that each call of the library made. */
function watched(store: NativeStore): number[] {
  const calls: number[] = [];
  const [steps, inARow] = [store.steps.bind(store), store.inARow.bind(store)];
  store.steps = (shares) => {
    calls.push(1);
    return steps(shares);
  };
  store.inARow = (ask) => {
    const made = inARow(ask);
    calls.push(made?.length ?? 0);
    return made;
  };
  return calls;
}

async function scheduled(
  store: NativeStore,
  run: Run,
  tell: (event: DecodeEvent) => boolean | void = () => {},
  scheduler = new Scheduler(store, new Observer(store)),
): Promise<{ readonly ids: number[]; readonly stop: string }> {
  const ids: number[] = [];
  const stop = await scheduler.run(run, (event) => {
    if (event.kind === "token") ids.push(event.id);
    return tell(event);
  });
  return { ids, stop };
}

const ways: readonly GenerateOptions[] = [
  { accept: "off" },
  {},
  { temperature: 0.9, seed: 4 },
  { temperature: 1.2, seed: 4, topK: 30, topP: 0.9, minP: 0.02 },
];
for (const options of [{ mode: "full" }, { mode: "specache" }] satisfies CacheOptions[]) {
  test(`a text that is alone has the same tokens by steps in a row, ${options.mode}`, () =>
    withModel(options, async (store) => {
      const expected = ways.map((way) => oneByOne(store, way));
      const calls = watched(store);
      for (const [at, way] of ways.entries()) {
        calls.length = 0;
        const run = runOf(store, way);
        assertEquals(await scheduled(store, run), { ids: expected[at], stop: "length" });
        assertEquals(run.state.length, prompt.length + TOKENS - 1);
        if (way.accept !== "off") continue; // others accept several tokens of a lookup's step
        assertEquals(run.state.steps, TOKENS - 1);
        assertEquals(calls.reduce((sum, made) => sum + made, 0), TOKENS - 1);
        assertLess(calls.length, TOKENS / 2);
      }
    }));
}

test("steps are made one by one beside another request, for penalties, logprobs and guesses", () =>
  withModel({ mode: "specache" }, async (store) => {
    const calls = watched(store);
    const most = async (options: GenerateOptions) => {
      calls.length = 0;
      await scheduled(store, runOf(store, { accept: "off", ...options }));
      return Math.max(...calls);
    };
    assertGreater(await most({}), 1);
    for (const options of [{ presencePenalty: 1 }, { logprobs: 1 }, { guesses: 1 }] as const) {
      assertEquals(await most(options), 1);
    }
    calls.length = 0;
    const scheduler = new Scheduler(store, new Observer(store));
    const run = () => runOf(store, { accept: "off", temperature: 0.8, seed: 3 });
    const [one, other] = await Promise.all(
      [run(), run()].map((each) => scheduled(store, each, () => {}, scheduler)),
    );
    assertEquals(one, other);
    assertEquals(Math.max(...calls.slice(0, -1)), 1); // the last one may have been alone
  }));

test("while somebody looks on steps are made one by one, and shown so", () =>
  withModel({ mode: "specache" }, async (store) => {
    const calls = watched(store);
    const observer = new Observer(store);
    const scheduler = new Scheduler(store, observer);
    observer.observe({ salt: "" });
    await scheduled(store, runOf(store, { accept: "off" }), () => {}, scheduler);
    assertEquals(calls, calls.map(() => 1));
    assertEquals(calls.length, TOKENS - 1);
  }));

test("where a request has room for one token more alone, its steps are made one by one", () =>
  withModel({ mode: "specache" }, async (store) => {
    const way = { accept: "off" } as const;
    const expected = oneByOne(store, way);
    const calls = watched(store);
    const run = runOf(store, way);
    const ids: number[] = [];
    const scheduler = new Scheduler(store, new Observer(store));
    await scheduler.run(run, (event) => {
      if (event.kind === "token") ids.push(event.id);
    }, { mayHold: () => true, holds: () => run.state.length + 1 });
    assertEquals(ids, expected);
    assertEquals(calls, calls.map(() => 1));
  }));

test("a text that is stopped within steps in a row goes on as if it had ended there", () =>
  withModel({ mode: "specache" }, async (store) => {
    const way = { accept: "off", temperature: 0.9, seed: 8 } as const;
    const whole = oneByOne(store, way);
    for (const tokens of [2, 3, 9, 20]) {
      const run = runOf(store, way);
      let told = 0;
      const { ids, stop } = await scheduled(store, run, ({ kind }) => {
        return kind === "token" && ++told === tokens;
      });
      assertEquals([ids, stop], [whole.slice(0, tokens), "stop"]);
      assertEquals(run.state.length, prompt.length + tokens - 1);
      assertEquals(run.state.steps, tokens - 1); // those that were cut off do not count
      assertEquals(store.stats(run.state.sequence, run.state.guessStats).tokens, run.state.length);
      const rest = await scheduled(store, run);
      assertEquals(rest.ids.slice(0, TOKENS - tokens), whole.slice(tokens));
      store.closeSequence(run.state.sequence);
    }
  }));

/** Runs `body` on a clock on which all takes as long: what auto accepts hangs on times. */
async function onEvenClock(body: () => Promise<void>): Promise<void> {
  const { now } = performance;
  let reads = 0;
  performance.now = () => reads++;
  try {
    await body();
  } finally {
    performance.now = now;
  }
}

test("a text that copies has its lookups accepted as often as by steps one by one", () =>
  withModel({ mode: "specache" }, async (store) => {
    const copied = textIds(100, 6);
    const copies = (run: Run) => {
      run.state.ask([...copied, ...copied]);
      return run;
    };
    for (const accept of ["auto", "on"] as const) {
      await onEvenClock(async () => {
        const way = { accept, maxTokens: 120 };
        const [plain, alone] = [copies(runOf(store, way)), copies(runOf(store, way))];
        const expected = idsIn(decode(plain));
        assertEquals((await scheduled(store, alone)).ids, expected);
        const { accepted } = plain.state.guessStats;
        assertGreater(accepted, 30);
        assertGreater(alone.state.guessStats.accepted, 0.8 * accepted);
      });
    }
  }));

test("guesses of a request before are not those of one behind steps in a row", () =>
  withModel({ mode: "specache" }, async (store) => {
    const run = runOf(store, { guesses: 2, accept: "off", maxTokens: 9 });
    const behind = (options: GenerateOptions): Run => ({
      ...run,
      request: settleRequest({ accept: "off", ...options }, store.settings, "generate"),
    });
    await scheduled(store, run);
    assertEquals(run.state.guesses.length, 2);
    await scheduled(store, behind({ maxTokens: 9 }));
    assertEquals(run.state.guesses.length, 0);
  }));

test("a state knows what its sequence holds where the end of steps in a row fails", () =>
  withModel({ mode: "specache" }, async (store) => {
    const run = runOf(store, { accept: "off", temperature: 0.9, seed: 8 });
    const [inARow, keep] = [store.inARow.bind(store), store.keep.bind(store)];
    store.inARow = (ask) => {
      const made = inARow({ ...ask, steps: 3 })!;
      const share = { ...ask.share, inputs: [made[made.length - 1].id], sampling: null };
      const [[{ logit }]] = store.steps([share])!;
      return [...made, { id: UNDECIDED, logit }];
    };
    store.keep = (sequence, count) => {
      if (count === 1) throw new Error("the disk is full");
      return keep(sequence, count);
    };
    const error = await scheduled(store, run).catch((error: unknown) => error);
    assertEquals(`${error}`, "Error: the disk is full");
    assertEquals(run.state.length, prompt.length + 3);
    assertEquals(store.stats(run.state.sequence, run.state.guessStats).tokens, run.state.length);
  }));

test("a text ends behind an eos within steps in a row", () =>
  withModel({ mode: "specache" }, async (store) => {
    const way = { accept: "off", temperature: 0.9, seed: 8 } as const;
    const whole = oneByOne(store, way);
    const eos = [whole[12]];
    const expected = oneByOne(store, way, { eos });
    assertEquals(expected, whole.slice(0, whole.indexOf(eos[0])));
    const run = runOf(store, way, { eos });
    assertEquals(await scheduled(store, run), { ids: expected, stop: "eos" });
    assertEquals(run.state.next, null);
  }));

test("the token with which steps in a row end undecided is drawn from its logits", () =>
  withModel({ mode: "specache" }, async (store) => {
    const way = { accept: "off", temperature: 0.9, seed: 8 } as const;
    const whole = oneByOne(store, way);
    const inARow = store.inARow.bind(store);
    let undecided = 0;
    // As the library: the first steps are kept, the last one is at work, and its logits are there.
    store.inARow = (ask) => {
      const made = inARow({ ...ask, steps: Math.min(ask.steps, 2) });
      if (made === null || ask.steps < 4) return made;
      const share = { ...ask.share, inputs: [made[made.length - 1].id], sampling: null };
      const [[{ logit }]] = store.steps([share])!;
      undecided++;
      return [...made, { id: UNDECIDED, logit }];
    };
    assertEquals((await scheduled(store, runOf(store, way))).ids, whole);
    assertGreater(undecided, 5);
  }));

test("a largest logit that is not finite ends the text with the tokens before it", () =>
  withModel({ mode: "specache" }, async (store) => {
    const way = { accept: "off" } as const;
    const whole = oneByOne(store, way);
    const inARow = store.inARow.bind(store);
    let calls = 0;
    store.inARow = (ask) => {
      if (calls++ === 0) return inARow({ ...ask, steps: 3 });
      store.steps([ask.share]);
      return [{ id: 0xffffffff, logit: -Infinity }];
    };
    const run = runOf(store, way);
    const ids: number[] = [];
    const error = await new Scheduler(store, new Observer(store)).run(run, (event) => {
      if (event.kind === "token") ids.push(event.id);
    }).catch((error: unknown) => error);
    assertEquals(ids, whole.slice(0, 4));
    assert(`${error}`.includes("largest logit -Infinity is not finite"), `${error}`);
    assertEquals(run.state.length, prompt.length + 3);
    assertEquals(store.stats(run.state.sequence, run.state.guessStats).tokens, run.state.length);
    store.truncate(run.state.sequence, run.state.length); // no step is at work
  }));

test("a request cancelled within steps in a row ends with the tokens that it was told", () =>
  withModel({ mode: "specache" }, async (store) => {
    const way = { accept: "off" } as const;
    const whole = oneByOne(store, way);
    let stop = false;
    const run = runOf(store, way, { cancelled: () => stop });
    const ended = await scheduled(store, run, ({ kind }) => void (stop = kind === "token"));
    assertEquals(ended.stop, "cancelled");
    assertEquals(ended.ids, whole.slice(0, ended.ids.length));
    assertEquals(run.state.length, prompt.length + ended.ids.length - 1);
    stop = false;
    const rest = await scheduled(store, { ...run, cancelled: () => false });
    assertEquals(rest.ids.slice(0, 5), whole.slice(ended.ids.length, ended.ids.length + 5));
  }));
