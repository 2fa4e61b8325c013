// worker.ts - a front for servers of specache, at an edge: it has no library and no model, asks the
// hosts, and passes on what they stream. The same file runs in workerd (wrangler.jsonc beside it),
// in Deno and in Bun:
//
//   deno serve --allow-net --allow-env examples/edge/worker.ts
//   bun examples/edge/worker.ts
//
//   HOSTS           [{"url": "https://gpu-1.example", "key": "..."}, ...]
//   API_KEYS        keys of which a client must bring one, with commas between them
//   OPERATOR_KEYS   keys as those, that may also read /metrics and the page at /
//   MODEL           what the hosts call the model
//   SECRET          seals names of sessions, alike in all copies; not needed where hosts have keys
//   CONTEXT_TOKENS  the longest context that all of them take
import process from "node:process";
import { type App, createApp } from "@specache/specache/app";
import { RemoteEngine } from "@specache/specache/edge";

async function open(): Promise<App> {
  const { HOSTS, API_KEYS, OPERATOR_KEYS, MODEL, SECRET, CONTEXT_TOKENS } = process.env;
  const engine = await RemoteEngine.open({
    hosts: JSON.parse(HOSTS ?? "[]"),
    model: MODEL,
    secret: SECRET,
    contextTokens: Number(CONTEXT_TOKENS),
    report: console.error,
  });
  return createApp(engine, {
    keys: API_KEYS?.split(",") ?? [],
    operatorKeys: OPERATOR_KEYS?.split(","),
    report: console.error,
  });
}

let app: App | undefined;

export default {
  async fetch(request: Request): Promise<Response> {
    app ??= await open();
    return await app.fetch(request);
  },
};
