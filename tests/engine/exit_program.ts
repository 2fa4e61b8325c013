// exit_program.ts - exits with status 3 while its engine decodes.
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Engine } from "../../mod.ts";

const model = fileURLToPath(new URL("../../models/needle", import.meta.url));
const engine = await Engine.open({ model, contextTokens: 600 });
let pieces = 0;
for await (const _ of engine.generate({ prompt: "The code of", maxTokens: 500 })) {
  if (++pieces === 3) process.exit(3);
}
