// Accepting guesses changes no token: SmolLM2, a prompt of every task, greedy and sampled, far
// memory in RAM and in a file; answers long enough to cross two page borders.
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describeModel } from "../../engine/model/describe.ts";
import { taskKit, taskNames } from "../../eval/tasks/source.ts";
import { Engine, type GenerateOptions } from "../../mod.ts";
import { smollm2 } from "../../tools/smollm2.ts";
import { assertEquals, assertGreater, test } from "../harness.ts";

const PROMPT = 1_000; // tokens
const TOKENS = 100; // generated

test("on every task, greedy and sampled, accepted guesses give the same tokens", async () => {
  const model = await smollm2();
  const { source, tasks } = await taskKit(model, describeModel(model));
  const file = join(tmpdir(), `specache-accept-${process.pid}`);
  let accepted = 0;
  try {
    for (const far of ["ram", { file }] as const) {
      await using engine = await Engine.open({ model, contextTokens: PROMPT + TOKENS, far, k: 64 });
      for (const task of taskNames) {
        const { ids } = tasks.get(task)!(source, { seed: 1, tokens: PROMPT });
        for (const temperature of [0, 0.8]) {
          const ask = async (options: GenerateOptions) =>
            await engine.generate({ ids, maxTokens: TOKENS, temperature, seed: 7, ...options })
              .result;
          const [off, on] = [await ask({ accept: "off" }), await ask({ accept: "on" })];
          assertEquals(on.tokens, off.tokens, `${task} at ${temperature}`);
          accepted += on.cache.guess.accepted;
        }
      }
    }
  } finally {
    rmSync(file, { force: true });
  }
  console.log(`  ${accepted} guesses were accepted`);
  assertGreater(accepted, 100); // the test can fail
});
