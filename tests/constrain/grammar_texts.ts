// grammar_texts.ts - a program that writes texts held to random schemas, as grammar_worker.ts draws
// them, so that it is seen what else is written: grammar_texts.ts COUNT SEED
import process from "node:process";
import type { Held } from "./grammar_worker.ts";

const [count, seed] = process.argv.slice(2).map(Number);
const worker = new Worker(new URL("./grammar_worker.ts", import.meta.url), { type: "module" });
worker.onmessage = ({ data }: MessageEvent<{ held: Held[] } | { error: string }>) => {
  if ("held" in data) console.log(JSON.stringify(data.held));
  else console.error(data.error);
  worker.terminate();
};
worker.postMessage({ count, seed });
