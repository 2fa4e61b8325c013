// How many requests a host is held to have, over what it tells and what comes and goes meanwhile.
import { Host } from "../../edge/host.ts";
import { Load } from "../../edge/load.ts";
import { assert, assertEquals, assertGreaterOrEqual, test } from "../harness.ts";
import { Scripted } from "./scripted.ts";

test("a load is what the host told and what began since", () => {
  const load = new Load();
  assertEquals(load.count, 0);
  load.ask()(3);
  assertEquals(load.count, 3);
  const end = load.begin();
  assertEquals(load.count, 4);
  end();
  end();
  assertEquals(load.count, 3);
});

test("a request that the host told of is taken off when it ends, and once", () => {
  const load = new Load();
  const end = load.begin();
  load.ask()(3);
  assertEquals(load.count, 3);
  end();
  end();
  assertEquals(load.count, 2);
});

test("a request that the host no longer told of takes off no other", () => {
  const load = new Load();
  const end = load.begin();
  load.ask()(1);
  load.ask()(0); // it has ended there, and its last bytes are on their way
  assertEquals(load.count, 0);
  load.begin();
  end();
  assertEquals(load.count, 1);
});

test("a request that may have come to the host after the question counts", () => {
  const load = new Load();
  const end = load.begin();
  load.ask()(0);
  assertEquals(load.count, 1);
  end();
  assertEquals(load.count, 0);
});

test("a request that began while the host was asked counts beside what it told", () => {
  const load = new Load();
  const hear = load.ask();
  const end = load.begin();
  hear(2);
  assertEquals(load.count, 3);
  end();
  assertEquals(load.count, 2);
});

test("a request that ended while the host was asked counts until it is asked again", () => {
  const load = new Load();
  const end = load.begin();
  const hear = load.ask();
  end();
  hear(1);
  assertEquals(load.count, 1);
  load.ask()(0);
  assertEquals(load.count, 0);
});

test("requests that never end, for a runtime dropped them, are forgotten", () => {
  const load = new Load();
  for (let at = 0; at < 5; at++) load.begin();
  load.ask()(0);
  assertEquals(load.count, 5); // they may be on their way
  load.ask()(0);
  assertEquals(load.count, 0);
});

test("two questions at a time count a request once", () => {
  const load = new Load();
  const end = load.begin();
  const [first, second] = [load.ask(), load.ask()];
  first(1);
  second(1);
  assertEquals(load.count, 1);
  end();
  assertEquals(load.count, 0);
});

// A plain generator of numbers below `below`, the same each time.
function* numbers(below: number): Generator<number> {
  for (let state = 1;;) {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0;
    yield Math.floor(state / 2 ** 32 * below);
  }
}

test("whatever order things come in, a load is never below what runs from here and arrived", () => {
  const next = numbers(1000);
  const draw = (below: number) => next.next().value! % below;
  for (let round = 0; round < 300; round++) {
    const load = new Load();
    const running: (() => void)[] = [];
    for (let step = 0; step < 60; step++) {
      const what = draw(4);
      if (what < 2) running.push(load.begin());
      else if (what === 2 && running.length > 0) {
        running.splice(draw(running.length), 1)[0]();
      } else load.ask()(running.length + draw(3)); // others' as well
      assertGreaterOrEqual(load.count, running.length);
    }
    for (const end of running) end();
    load.ask()(0);
    assertEquals(load.count, 0);
  }
});

test("a host's load follows its probes", async () => {
  await using scripted = await Scripted.start();
  const host = new Host({ url: scripted.url }, 0, { ageMs: 1, probeMs: 5000, model: null });
  const end = host.begin();
  Object.assign(scripted, { running: 2, waiting: 1 });
  await host.probe();
  assertEquals(host.load, 3);
  end();
  assertEquals(host.load, 2);
  scripted.running = 0;
  scripted.waiting = 0;
  await host.probe();
  assertEquals(host.load, 0);
  host.begin();
  assert(host.load === 1);
});
