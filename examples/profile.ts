// profile.ts MODEL - what a profile of the model saves: near memory planned without one, with the
// one that is measured at the first opening and kept, and with that of the smaller setting.
import process from "node:process";
import { Engine, type EngineOptions } from "@specache/specache";

const TOKENS = 2048;

async function main([model]: readonly string[]): Promise<void> {
  if (model === undefined) throw new Error("Usage: profile.ts MODEL");
  const ratio = async (options: Pick<EngineOptions, "profile" | "setting">) => {
    await using engine = await Engine.open({ model, contextTokens: TOKENS, ...options });
    return engine.plan().ratio.toFixed(3);
  };
  console.log(`near memory of ${TOKENS} tokens, as a share of a 16-bit cache:`);
  console.log(`no profile: ${await ratio({ profile: "none" })}`);
  console.log(`profile: ${await ratio({ profile: "auto" })}`);
  console.log(`profile, compact: ${await ratio({ profile: "auto", setting: "compact" })}`);
}

await main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 2;
});
