// profile.ts MODEL - what a profile of the model saves: near memory planned without one, with the
// one that is measured at the first opening and kept, and with that of the smaller setting.
import process from "node:process";
import { Engine, type EngineOptions } from "@specache/specache";

const [, , model] = process.argv;
const TOKENS = 2048;

async function ratio(options: Pick<EngineOptions, "profile" | "setting">): Promise<string> {
  await using engine = await Engine.open({ model, contextTokens: TOKENS, ...options });
  return engine.plan().ratio.toFixed(3);
}

console.log(`near memory of ${TOKENS} tokens, as a share of a 16-bit cache:`);
console.log(`no profile: ${await ratio({ profile: "none" })}`);
console.log(`profile: ${await ratio({ profile: "auto" })}`);
console.log(`profile, compact: ${await ratio({ profile: "auto", setting: "compact" })}`);
