// opened.ts - opens a front; the tests run it in a process without permissions.
import { RemoteEngine } from "../../edge/remote.ts";
import { createApp } from "../../routes/app.ts";

const hosts = [{ url: "http://127.0.0.1:9" }];
const engine = await RemoteEngine.open({ hosts, model: "fake", contextTokens: 1000 });
const { status } = await createApp(engine).fetch(new Request("http://localhost/health"));
console.log(status);
