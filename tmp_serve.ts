import { ensureLibrary, KvStore } from "./mod.ts";
import { createApp } from "./routes/app.ts";
import { listen } from "./cli/listen.ts";
import { FakeEngine } from "./tests/routes/fake.ts";
await ensureLibrary();
const app = createApp(new FakeEngine({ sequences: 64, sessionsMax: 200, contextTokens: 1 << 24 }), {
  keys: ["k"],
  stores: KvStore,
  storeBytesMax: 64e6,
  storesMax: 200,
  idleSeconds: 5,
  report: (e) => console.log("REPORT", e),
});
await listen((r) => app.fetch(r), { hostname: "127.0.0.1", port: 8199 });
