// health.ts - asks the app for its health; the tests run it in a process without permissions.
import { createApp } from "../../routes/app.ts";
import { FakeEngine } from "./fake.ts";

const { status } = await createApp(new FakeEngine()).fetch(
  new Request("http://localhost/health"),
);
console.log(status);
