// Work that does not come back is ended, also within WebAssembly, and its thread goes on.
import { endedAfter, TookTooLong } from "../../engine/constrain/ended_after.ts";
import { assertEquals, assertThrows, runtime, test } from "../harness.ts";

function forEver(): never {
  for (let turn = 0;; turn++);
}

test("endedAfter() returns what work returns, and throws what it throws", () => {
  const thing = {};
  assertEquals(endedAfter(1000, () => thing) === thing, true);
  assertEquals(endedAfter(1000, () => endedAfter(1000, () => 2) + 1), 3);
  assertEquals(endedAfter(-1, () => undefined), undefined); // a limit that has passed is the least
  assertThrows(
    () => {
      endedAfter(1000, () => {
        throw new RangeError("as it was");
      });
    },
    RangeError,
    "as it was",
  );
});

test("endedAfter() ends what does not return, and the thread goes on", () => {
  for (let time = 0; time < 2; time++) {
    assertThrows(() => endedAfter(20, forEver), TookTooLong, "had not returned after 20 ms");
    assertEquals(endedAfter(1000, () => 1), 1);
  }
});

// In Bun terminate() ends such a thread: grammar_threads.test.ts.
if (runtime === "deno") {
  test("endedAfter() ends WebAssembly, where no thread is ended by anything else", () => {
    // (module (func (export "a") (loop (br 0))))
    const header = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0];
    const body = [7, 5, 1, 1, 97, 0, 0, 10, 9, 1, 7, 0, 3, 64, 12, 0, 11, 11];
    const module = new WebAssembly.Module(Uint8Array.from([...header, ...body]));
    const { a } = new WebAssembly.Instance(module).exports as { a(): void };
    assertThrows(() => endedAfter(20, a), TookTooLong);
  });
}
