// A load that is run three times against a server in a process of its own: what is answered, and
// what resident memory the server is left with.
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { assertWhole, load } from "../clients/load.ts";
import { pathOf } from "../cli/command.ts";
import { assertEquals, assertLess, fail, runtime, test } from "../harness.ts";

const READS = 6; // of resident memory, a second apart
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
    ...["run", "--quiet", "-A", "--no-check"],
    "--v8-flags=--expose-gc,--max-semi-space-size=1,--max-old-space-size=64",
  ]
  : [];

/** The server, as load_server.ts tells of it. */
class Server {
  readonly #child = spawn(process.execPath, [...STILL, pathOf("tests/long/load_server.ts")], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, MALLOC_ARENA_MAX: "1" },
  });
  readonly #ended = once(this.#child, "close");
  readonly #lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  readonly url: Promise<string> = this.#line();

  async #line(): Promise<string> {
    const { value } = await this.#lines.next();
    if (value === undefined) fail("the server has ended");
    return value;
  }

  /** The least of some seconds: a runtime gives memory back when it comes to it. */
  async residentBytes(): Promise<number> {
    await this.url;
    let least = Infinity;
    for (let at = 0; at < READS; at++) {
      if (at > 0) await new Promise((later) => setTimeout(later, 1000));
      this.#child.stdin.write("\n");
      least = Math.min(least, Number(await this.#line()));
    }
    return least;
  }

  async end(): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }
}

// One for all loads, which are tests of their own: a loaded machine takes minutes for each.
let server: Server | undefined;
const resident: number[] = [];

for (let at = 1; at <= LOADS; at++) {
  test(`24 clients, 200 requests each, load ${at}: none is lost, none mixed up`, async () => {
    server ??= new Server();
    if (resident.length === 0) resident.push(await server.residentBytes());
    const asked = { clients: CLIENTS, requests: REQUESTS, seed: 2 + (at - 1) * CLIENTS };
    assertWhole(await load(await server.url, asked), CLIENTS * REQUESTS);
    resident.push(await server.residentBytes());
  });
}

test("a load leaves no memory behind that the loads before it did not", async () => {
  await server!.end();
  console.log(`  resident before, and after each load: ${resident.join(", ")} bytes`);
  assertEquals(resident.length, 1 + LOADS);
  const [last, ...before] = resident.toReversed();
  const left = (last - Math.max(...before)) / (CLIENTS * REQUESTS);
  assertLess(left, LEFT_BYTES_MAX, `bytes a request: ${resident}`);
});
