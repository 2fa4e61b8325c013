// A hundred thousand requests at random to fake engines, and some thousand to a real one, whose
// memory must be as before.
import { openNeedle } from "../engine/support.ts";
import { assertEquals, test } from "../harness.ts";
import { fuzz } from "../routes/fuzz.ts";

for (let seed = 1; seed <= 10; seed++) {
  test(`10,000 requests at random, seed ${seed}, break nothing`, () => fuzz(10_000, seed));
}

const chatTemplate = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";

for (const prefixes of [0, 4]) {
  test(`5,000 requests at random break no engine that keeps ${prefixes} prefixes`, async () => {
    await using engine = await openNeedle({ sequences: 4, prefixes, queue: 64, chatTemplate });
    await fuzz(5000, 30 + prefixes, {
      engine,
      async emptied() {
        const busy = async () => {
          const { running, waiting } = await engine.stats();
          return running + waiting > 0;
        };
        while (await busy()) await new Promise((answer) => setTimeout(answer, 10));
        const { sessions, pages, prefixes: { kept } } = await engine.stats();
        assertEquals(sessions, 0);
        if (kept === 0) assertEquals(pages.free, pages.all);
      },
    });
  });
}
