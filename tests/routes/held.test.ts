// How long what clients hold open may be idle: from the end of the last request on.
import { Held } from "../../routes/held.ts";
import { assertEquals, test } from "../harness.ts";

test("what a request has worked with for long may be idle as long as any other", () => {
  const { now } = performance;
  let ahead = 0; // seconds
  performance.now = () => now.call(performance) + ahead * 1000;
  try {
    const held = new Held<string>({ what: "session", idleSeconds: 100, report: () => {} });
    const left = ({ expires }: { readonly expires: number }) =>
      Math.round((expires - Date.now() / 1000) / 10);
    const entry = held.add("", "one", () => {});
    assertEquals(left(entry), 10);
    ahead = 50;
    assertEquals(left(entry), 5);
    held.enter("", entry.id);
    ahead = 90;
    held.leave(entry);
    assertEquals(left(entry), 10);
  } finally {
    performance.now = now;
  }
});
