// A load that is run three times against a server in a process of its own: what is answered, and
// what resident memory the server is left with.
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { assertWhole, load } from "../clients/load.ts";
import { pathOf } from "../cli/command.ts";
import { assertLess, runtime, test } from "../harness.ts";

const LOADS = 3;
const [CLIENTS, REQUESTS] = [24, 200];

// A request that is not forgotten leaves its prompt at least: 370 tokens, and their text, of some
// four bytes each, 3 kB. Half of it is told from what the runtime's heap comes and goes by: with
// the flags below some 10 MB in Deno, 4 MB in Bun, but not above what the loads before have shown.
const LEFT_BYTES_MAX = 1_500;

// The engine's worker has a heap of its own, which nobody can ask to collect its garbage: V8 does
// when it has grown to so many MB. The young generation and malloc's arenas are held still.
const STILL = runtime === "deno"
  ? [
    ...["run", "-A", "--no-check"],
    "--v8-flags=--expose-gc,--max-semi-space-size=1,--max-old-space-size=64",
  ]
  : [];

test("24 clients, 200 requests each, thrice: none lost or mixed up, memory comes back", async () => {
  const server = spawn(process.execPath, [...STILL, pathOf("tests/long/load_server.ts")], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, MALLOC_ARENA_MAX: "1" },
  });
  const ended = once(server, "close");
  const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
  const line = async () => String((await lines.next()).value);
  const resident = async () => {
    server.stdin.write("\n");
    return Number(await line());
  };
  try {
    const url = await line();
    const bytes = [await resident()];
    for (let at = 0; at < LOADS; at++) {
      const seed = 2 + at * CLIENTS;
      const loaded = await load(url, { clients: CLIENTS, requests: REQUESTS, seed });
      assertWhole(loaded, CLIENTS * REQUESTS);
      bytes.push(await resident());
    }
    console.log(`  resident before, and after each load: ${bytes.join(", ")} bytes`);
    const [last, ...before] = bytes.toReversed();
    const left = (last - Math.max(...before)) / (CLIENTS * REQUESTS);
    assertLess(left, LEFT_BYTES_MAX, `bytes a request: ${bytes}`);
  } finally {
    server.stdin.end();
    await ended;
  }
});
