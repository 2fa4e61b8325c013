// Several engines in one process: each has its own store, worker and sessions.
import { assertEquals, test } from "../harness.ts";
import { answer, asked, openNeedle, promptIds, withEngine } from "./support.ts";

test("two engines give at once what each gives alone; one outlives the other", async () => {
  const alone = await withEngine({}, (engine) => answer(engine));
  const full = await withEngine({ mode: "full" }, (engine) => answer(engine));
  const [one, two] = await Promise.all([openNeedle(), openNeedle({ mode: "full" })]);
  assertEquals(await Promise.all([answer(one), answer(two)]), [alone, full]);
  const running = two.generate({ ids: promptIds, ...asked }).result;
  await one.close();
  assertEquals((await running).tokens, full.tokens);
  await two.close();
});
