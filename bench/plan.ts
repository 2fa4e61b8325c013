// plan.ts - step times that `plan` predicts against those that are then measured, at four lengths.
// Far memory is in RAM, or with --far FILE in a file, where each step runs a guess too.
//   deno task bench:plan [--model PATH] [--mode full] [--far FILE]
import process from "node:process";
import { describeModel } from "../engine/model/describe.ts";
import { planCache } from "../engine/plan.ts";
import { measure, predict } from "../engine/predict/predict.ts";
import { median } from "../engine/predict/numbers.ts";
import { settle, settleRequest } from "../engine/settings.ts";
import { table } from "../eval/table.ts";
import { tokenizerOf } from "../eval/source.ts";
import { longText } from "../eval/text.ts";
import { Engine, type Mode } from "../mod.ts";
import { smollm2 } from "../tools/smollm2.ts";

const LENGTHS = [512, 1536, 3072, 6144];
const STEPS = 16; // of a sample; a step gives one token, since nothing is accepted
const ROUNDS = 5;
const BAR = 1.5;

const option = (name: string) => {
  const at = process.argv.indexOf(`--${name}`);
  return at === -1 ? undefined : process.argv[at + 1];
};
const model = option("model") ?? await smollm2();
const mode = (option("mode") ?? "specache") as Mode;
const file = option("far");
const far = file === undefined ? "ram" as const : { file };
const description = describeModel(model);
const ids = tokenizerOf(model).encode(await longText());

const factor = (one: number, other: number) => Math.max(one / other, other / one);
const ms = (value: number) => `${value.toPrecision(3)} ms`;
const rows = [[
  "tokens",
  "step: predicted",
  "measured",
  "factor",
  "prefill: predicted",
  "measured",
]];
let worst = 1;
for (const tokens of LENGTHS) {
  const { predicted, measured } = await compare(tokens);
  const step = factor(predicted.stepMs, measured.stepMs);
  worst = Math.max(worst, step);
  rows.push([
    ...[`${tokens}`, ms(predicted.stepMs), ms(measured.stepMs), step.toFixed(2)],
    ...[ms(predicted.prefillMs), ms(measured.prefillMs)],
  ]);
}
console.log(table(rows));
console.log(`largest factor of a step ${worst.toFixed(2)}, bar ${BAR}`);
process.exitCode = worst <= BAR ? 0 : 1;

// In turn, so that what else runs here meets both alike.
async function compare(tokens: number) {
  const contextTokens = tokens + STEPS + 1;
  const settings = settle({ mode, far }, contextTokens, null, "plan");
  const inputs = 1 + settleRequest({}, settings, "plan").guesses;
  const task = { settings, shape: description, profile: null, tokens, inputs };
  const plan = planCache(settings, description, null, tokens);
  await using engine = await Engine.open({ model, mode, far, profile: "none", contextTokens });
  await using session = await engine.session();
  const started = performance.now();
  await session.generate({ ids: ids.slice(0, tokens), maxTokens: 0 }).result;
  const prefillMs = performance.now() - started;
  const [predicted, steps]: [{ stepMs: number; prefillMs: number }[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    const measured = await measure(task, { model: description, path: model });
    predicted.push(predict(measured, plan, mode, settings.k));
    console.error(`${tokens} tokens: measured for ${measured.seconds.toFixed(1)} s`);
    await session.truncate(tokens - 1);
    const asked = { ids: [ids[tokens - 1]], maxTokens: STEPS, accept: "off" } as const;
    const { timing } = await session.generate(asked).result;
    steps.push(1000 / timing.tokensPerSecond);
  }
  return {
    predicted: {
      stepMs: median(predicted.map(({ stepMs }) => stepMs)),
      prefillMs: median(predicted.map(({ prefillMs }) => prefillMs)),
    },
    measured: { stepMs: median(steps), prefillMs },
  };
}
