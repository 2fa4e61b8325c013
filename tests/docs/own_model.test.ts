// The example that others may take parts of: a prompt cut anywhere is the same prompt.
import { OwnModel } from "../../examples/own_model.ts";
import { assertEquals, test } from "../harness.ts";

test("a model on a store tells the same of a prompt, of its halves, and of single tokens", () => {
  const ids = [5, 6, 7, 8, 9, 6];
  using whole = new OwnModel(64);
  assertEquals(whole.prefill(ids), 7);
  using cut = new OwnModel(64);
  cut.prefill(ids.slice(0, 4));
  assertEquals(cut.prefill(ids.slice(4)), 7);
  using single = new OwnModel(64);
  single.prefill(ids.slice(0, 1));
  const told = ids.slice(1).map((id) => single.step(id));
  assertEquals(told.at(-1), 7);
  for (const model of [whole, cut, single]) {
    assertEquals(model.store.length, ids.length);
    assertEquals(model.generate(7, 2), [8, 9]);
  }
});
