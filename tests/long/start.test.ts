import { spawned } from "../cli/command.ts";
import { assertEquals, assertGreater, assertLessOrEqual, assertMatch, test } from "../harness.ts";

test("npm start -- --json prints one object with a row for each mode", async () => {
  const { status, stdout, stderr } = await spawned("start.ts", ["--json"]);
  assertEquals(status, 0, stderr);
  assertMatch(
    stderr,
    /^(Building the native library.*\n)? +full.*\n +specache +12 of 12 facts asked\n$/s,
  );
  const { tokens, facts, device, rows, llama3, ...more } = JSON.parse(stdout);
  assertEquals([tokens, facts, device.name, more], [8000, 12, "cpu", {}]);
  const modes = ["full", "paper", "specache"];
  assertEquals(rows.map(({ mode }: { mode: string }) => mode), modes);
  assertEquals(llama3.map(({ mode }: { mode: string }) => mode), modes);
  const [full, paper, specache] = rows;
  for (const row of rows) {
    assertEquals(row.asked, facts);
    assertEquals(row.ratio, row.nearBytes / row.fullBytes);
    assertGreater(row.recalled, 0);
    assertGreater(row.tokensPerSecond, 0);
  }
  // Mode full guesses only what may be accepted, where that pays, and fetches nothing.
  assertLessOrEqual(full.guess.right, full.guess.made);
  const { hiddenMs, waitedMs, lateMs } = full.fetch;
  assertEquals([hiddenMs, waitedMs, lateMs], [0, 0, 0]);
  for (const row of [paper, specache]) {
    assertGreater(row.guess.made, 0);
    assertGreater(row.fetch.hiddenMs, 0);
    assertGreater(full.nearBytes, row.nearBytes);
  }
});

test("npm start prints a table with a line for each mode, and how to go on", async () => {
  const { status, stdout, stderr } = await spawned("start.ts", []);
  assertEquals(status, 0, stderr);
  assertMatch(stdout, /^12 facts hidden in 8000 tokens of real text/m);
  for (const mode of ["full", "paper", "specache"]) {
    assertMatch(stdout, new RegExp(`^${mode} +[\\d.]+ MiB +[\\d.]+ +\\d+ of 12 `, "m"));
    assertMatch(stdout, new RegExp(`^${mode} +[\\d.]+ [GM]iB +[\\d.]+ +[\\d.]+ G?i?B$`, "m"));
  }
  assertMatch(stdout, /Go on with\n/);
});
