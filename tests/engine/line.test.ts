// Who waits, whose turn it is, and what is refused at once.
import { Line, type Waiter } from "../../engine/line.ts";
import { SpecacheError } from "../../mod.ts";
import { assertEquals, assertRejects, test } from "../harness.ts";

/** Room for some at a time, and the order in which it was taken. */
class Places {
  readonly order: string[] = [];
  constructor(public free: number) {}

  waiter(name: string, client: string, gone: Set<string> = new Set()): Waiter<string> {
    return {
      client,
      cancelled: () => gone.has(name),
      take: () => {
        if (this.free === 0) return null;
        this.free--;
        this.order.push(name);
        return name;
      },
    };
  }

  give(line: Line<string>): void {
    this.free++;
    line.admit();
  }
}

test("clients take turns, and each client's requests come in their order", async () => {
  const [line, places] = [new Line<string>(100), new Places(1)];
  const names = ["a1", "a2", "a3", "a4", "b1", "b2", "c1"];
  const all = names.map((name) => line.enter(places.waiter(name, name[0])));
  assertEquals(line.waiting, 6);
  for (let ended = 1; ended < names.length; ended++) places.give(line);
  assertEquals(await Promise.all(all), names);
  assertEquals(places.order, ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]);
  assertEquals(line.waiting, 0);
});

test("who gives up is let out, and takes no turn from its client", async () => {
  const [line, places, gone] = [new Line<string>(100), new Places(0), new Set<string>()];
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
  test(`a line of ${most} lets ${most} wait, and refuses the next with both numbers`, async () => {
    const [line, places] = [new Line<string>(most), new Places(1)];
    const gone = new Set<string>();
    const runs = await line.enter(places.waiter("first", "a", gone));
    assertEquals(runs, "first");
    const names = Array.from({ length: most }, (_, at) => `w${at}`);
    const waits = names.map((name) => line.enter(places.waiter(name, "a", gone)));
    const enter = () => line.enter(places.waiter("late", "b", gone));
    const error = await assertRejects(enter, SpecacheError, `${most} requests wait`);
    assertEquals([error.code, error.details.queue], ["busy", most]);
    places.give(line);
    if (most > 0) {
      gone.add("w1"); // its place is free again
      const waits = enter();
      places.give(line);
      assertEquals(await waits, "late");
    } else assertEquals(await enter(), "late");
    await Promise.all(waits);
  });
}

test("what can never have room is refused, and the next in line is not held up", async () => {
  const [line, places] = [new Line<string>(9), new Places(0)];
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
