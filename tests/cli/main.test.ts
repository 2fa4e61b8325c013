import { join } from "node:path";
import { buildLibrary, ensureLibrary } from "../../cli/library.ts";
import { assertEquals, assertMatch, test } from "../harness.ts";
import { makeStub } from "../ffi/stub.ts";
import { version } from "../../ffi/version.ts";
import { command, spawned, spawnedTo, tiny } from "./command.ts";

test("main.ts exits with the command's status", async () => {
  const plan = ["plan", "--model", tiny, "--tokens", "100"];
  const [right, wrong] = await Promise.all([
    spawned("main.ts", [...plan, "--json"]),
    spawned("main.ts", [...plan, "--k", "2.5"]),
  ]);
  assertEquals([right.status, right.stderr], [0, ""]);
  assertEquals(JSON.parse(right.stdout).cache.tokens, 100);
  assertEquals(wrong, {
    status: 2,
    stdout: "",
    stderr: "Cannot plan: --k 2.5 is not an integer\n",
  });
});

test("main.ts ends in silence when nobody reads its output any more", async () => {
  const { status, stderr } = await spawned("main.ts", ["--help"], false);
  assertEquals([status, stderr], [0, ""]);
});

test("output that a full disk does not take is an error", () => {
  const { status, stderr } = spawnedTo("/dev/full", ["--help"]);
  assertEquals([status, stderr], [2, "Cannot write the output: it is on a disk that is full\n"]);
});

test("--version is the package's", async () => {
  const { status, stdout } = await command(["--version"]);
  assertEquals([status, stdout], [0, `specache ${version}\n`]);
});

test("start.ts refuses an unknown option before it builds anything", async () => {
  assertEquals(await spawned("start.ts", ["--jason"]), {
    status: 2,
    stdout: "",
    stderr: "Cannot start: option --jason is not --json\n",
  });
});

test("buildLibrary() says that it builds and which file came last", async () => {
  using stub = makeStub();
  const said: string[] = [];
  await buildLibrary(
    { write: (text) => said.push(text) },
    join(stub.root, "native"),
    join(stub.root, "build"),
  );
  assertEquals(said.length, 2);
  assertMatch(said[0], /^Building the native library/);
  assertMatch(said[1], /^ {2}4\/4 .+\.cpp\n$/);
});

test("ensureLibrary() does nothing where a library is found", async () => {
  await ensureLibrary({ write: (text) => assertEquals(text, "") });
});
