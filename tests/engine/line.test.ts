// Who waits, whose turn it is, and what is refused at once.
import { Line, type Waiter } from "../../engine/line.ts";
import { SpecacheError } from "../../mod.ts";
import { assertEquals, assertRejects, test } from "../harness.ts";

/** Room for some at a time, and the order in which it was taken. */
class Places {
  readonly order: string[] = [];
  constructor(public free: number) {}

  waiter(name: string, client: string, gone = new Set<string>(), wants = 1): Waiter<string> {
    return {
      client,
      cancelled: () => gone.has(name),
      take: () => {
        if (this.free < wants) return null;
        this.free -= wants;
        this.order.push(name);
        return name;
      },
    };
  }

  give(line: Line): void {
    this.free++;
    line.admit();
  }
}

test("clients take turns, and each client's requests come in their order", async () => {
  const [line, places] = [new Line(100), new Places(1)];
  const names = ["a1", "a2", "a3", "a4", "b1", "b2", "c1"];
  const all = names.map((name) => line.enter(places.waiter(name, name[0])));
  assertEquals(line.waiting, 6);
  for (let ended = 1; ended < names.length; ended++) places.give(line);
  assertEquals(await Promise.all(all), names);
  assertEquals(places.order, ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]);
  assertEquals(line.waiting, 0);
});

test("the next in line is overtaken by none that wants less, newcomer or not", async () => {
  const [line, places] = [new Line(100), new Places(1)];
  const wide = line.enter(places.waiter("wide", "a", new Set(), 3));
  const waits = ["b", "c"].map((client) => line.enter(places.waiter(client, client)));
  places.give(line);
  assertEquals([places.order, places.free, line.waiting], [[], 2, 3]);
  places.give(line);
  assertEquals([await wide, places.order, line.waiting], ["wide", ["wide"], 2]);
  places.give(line);
  places.give(line);
  assertEquals([await Promise.all(waits), places.order], [["b", "c"], ["wide", "b", "c"]]);
});

test("who gives up is let out, and takes no turn from its client", async () => {
  const [line, places, gone] = [new Line(100), new Places(0), new Set<string>()];
  const waits = ["a1", "a2", "b1"].map((name) => line.enter(places.waiter(name, name[0], gone)));
  gone.add("a1");
  line.admit();
  assertEquals(await waits[0], null);
  assertEquals(line.waiting, 2);
  places.give(line);
  places.give(line);
  assertEquals(places.order, ["a2", "b1"]);
});

for (const most of [0, 2]) {
  test(`a line of ${most} lets ${most} wait, and refuses the next with its limit`, async () => {
    const [line, places] = [new Line(most), new Places(1)];
    const gone = new Set<string>();
    const enter = (name: string) => line.enter(places.waiter(name, "a", gone));
    assertEquals(await enter("first"), "first");
    const waits = Array.from({ length: most }, (_, at) => enter(`w${at}`));
    const sentence = `${most} requests wait, as many as may`;
    const error = await assertRejects(() => enter("late"), SpecacheError, sentence);
    assertEquals([error.code, error.details.queue, line.waiting], ["busy", most, most]);
    gone.add("w1"); // its place is free again
    const again = most > 0 ? enter("again") : null;
    for (let ended = 0; ended <= most; ended++) places.give(line);
    assertEquals(await again, most > 0 ? "again" : null);
    assertEquals(await Promise.all(waits), ["w0", null].slice(0, most));
    assertEquals(await enter("last"), "last");
  });
}

test("of a line that is full, the client with most in it makes way for another", async () => {
  const [line, places] = [new Line(3), new Places(0)];
  const enter = (name: string) => line.enter(places.waiter(name, name[0]));
  const [a1, a2, a3] = ["a1", "a2", "a3"].map(enter);
  const refused = assertRejects(() => a3, SpecacheError, "3 requests wait, as many as may");
  const b1 = enter("b1");
  await refused;
  // Now b's next would have as many as a: nobody makes way.
  await assertRejects(() => enter("b2"), SpecacheError, "3 requests wait");
  places.free = 3;
  line.admit();
  assertEquals(await Promise.all([a1, a2, b1]), ["a1", "a2", "b1"]);
});

test("who has given up already neither waits nor takes room", async () => {
  const [line, places] = [new Line(0), new Places(0)];
  assertEquals(await line.enter(places.waiter("a1", "a", new Set(["a1"]))), null);
});

test("what can never have room is refused, and the next in line is not held up", async () => {
  const [line, places] = [new Line(9), new Places(0)];
  const never = new SpecacheError("capacity", "Cannot generate: no room");
  let told = false;
  const waits = line.enter({
    client: "a",
    cancelled: () => false,
    take() {
      if (!told) return null;
      throw never;
    },
  });
  const next = line.enter(places.waiter("b1", "b"));
  told = true;
  places.free = 1;
  line.admit();
  assertEquals(await assertRejects(() => waits), never);
  assertEquals(await next, "b1");
});

test("who was set back comes first of its client's, and no limit counts it", async () => {
  const [line, places] = [new Line(2), new Places(0)];
  const enter = (name: string) => line.enter(places.waiter(name, name[0]));
  const again = (name: string) => line.enterAgain(places.waiter(name, name[0]));
  const all = [enter("a3"), again("a2"), again("a1"), again("b1")];
  assertEquals(line.waiting, 4);
  all.push(enter("a4"));
  await assertRejects(() => enter("a5"), SpecacheError, "2 requests wait");
  const newest = assertRejects(() => all[4], SpecacheError, "2 requests wait");
  all.push(enter("c1")); // a's newest makes way, not one that was set back
  await newest;
  for (let ended = 0; ended < 5; ended++) places.give(line);
  assertEquals(places.order, ["a1", "b1", "c1", "a2", "a3"]);
  assertEquals(line.waiting, 0);
});

test("where nobody runs one that was set back goes on, though it is not its turn", async () => {
  let idle = false;
  const [line, places] = [new Line(9, () => idle), new Places(0)];
  const full = { client: "a", cancelled: () => false, take: () => null };
  const never = line.enter(full);
  const back = line.enterAgain(places.waiter("b1", "b"));
  places.give(line);
  assertEquals(places.order, []);
  idle = true;
  line.admit();
  assertEquals([await back, line.waiting], ["b1", 1]);
  assertEquals(await Promise.race([never, null]), null);
});
