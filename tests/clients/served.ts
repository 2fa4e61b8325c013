// served.ts - the shipped model behind a port of this machine, in this process.
import { Engine, type EngineOptions } from "../../mod.ts";
import { createApp, type ServedEngine } from "../../routes/app.ts";
import { needleModel } from "../../eval/source.ts";
import { onPort } from "../routes/socket.ts";

// The model was never taught to converse. It recalls a code; told of tools, its prompt is the
// beginning of a call.
const chatTemplate = "{% for m in messages %}{{ m.content }}\n{% endfor %}" +
  "{% if tools %}<tool_call>{{ tools | tojson }}\n" +
  "{% else %}Recall: The code of amber is{% endif %}";

/** What the model is asked for. */
export const said = "The code of amber is 44219. The weather is fine.";

/** The answer to it, in 6 tokens. */
export const answer = " 44219";

/** Serves the shipped model, and tells the address. */
export async function serving(
  body: (url: string, engine: Engine) => Promise<void>,
  options: Partial<EngineOptions> = {},
): Promise<void> {
  await using engine = await Engine.open({
    model: needleModel,
    contextTokens: 1024,
    sequences: 4,
    prefixes: 4,
    threads: 2,
    profile: "none",
    chatTemplate,
    ...options,
  });
  await servingEngine(engine, (url) => body(url, engine));
}

/** Serves an engine. */
export async function servingEngine(
  engine: ServedEngine,
  body: (url: string) => Promise<void>,
): Promise<void> {
  const app = createApp(engine, { name: "needle", keys: ["key"] });
  await onPort(app, (port) => body(`http://127.0.0.1:${port}/v1`));
}
