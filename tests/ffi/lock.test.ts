import { existsSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { SpecacheError } from "../../engine/errors.ts";
import { lockFolder, STALE_MS } from "../../ffi/lock.ts";
import { Folder } from "../cli/command.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes, test } from "../harness.ts";

const nobody = () => assert(false, "waited");

test("lockFolder() makes the folder, and leaves nothing in it", async () => {
  using folder = new Folder();
  const path = folder.of("a/b");
  {
    using _lock = await lockFolder(path, "build", nobody);
    assertEquals(readdirSync(path), ["lock"]);
  }
  assertEquals(readdirSync(path), []);
});

test("lockFolder() lets one in at a time, and tells the others once that they wait", async () => {
  using folder = new Folder();
  let [inside, most, waits] = [0, 0, 0];
  const enter = async () => {
    using _lock = await lockFolder(folder.path, "build", () => waits++);
    most = Math.max(most, ++inside);
    await setTimeout(150);
    inside--;
  };
  await Promise.all([enter(), enter(), enter()]);
  assertEquals([most, waits], [1, 2]);
});

test("lockFolder() makes the folder anew where an owner removed it", async () => {
  using folder = new Folder();
  const path = folder.of("a");
  const first = await lockFolder(path, "build", nobody);
  const second = lockFolder(path, "build", () => {});
  first[Symbol.dispose]();
  rmSync(path, { recursive: true });
  using _lock = await second;
  assertEquals(readdirSync(path), ["lock"]);
});

test("lockFolder() goes past the lock of one that has ended without removing it", async () => {
  using folder = new Folder();
  const path = join(folder.path, "lock");
  writeFileSync(path, "");
  const then = new Date(Date.now() - STALE_MS - 1000);
  utimesSync(path, then, then);
  {
    using _lock = await lockFolder(folder.path, "build", () => {});
    assert(existsSync(path));
  }
  assert(!existsSync(path));
});

test("lockFolder() touches its lock while it lives", async () => {
  using folder = new Folder();
  using _lock = await lockFolder(folder.path, "build", nobody);
  const path = join(folder.path, "lock");
  const old = new Date(Date.now() - STALE_MS + 2000);
  utimesSync(path, old, old);
  let waited = 0;
  await Promise.race([
    lockFolder(folder.path, "build", () => waited++).then(() => assert(false, "two at once")),
    setTimeout(2500),
  ]);
  assertEquals(waited, 1);
});

test("lockFolder() refuses a folder that cannot be made, by its path", async () => {
  using folder = new Folder();
  const file = folder.file("file", "");
  const error = await assertRejects(
    () => lockFolder(join(file, "below"), "build libspecache", nobody),
    SpecacheError,
  );
  assertEquals(error.code, "file");
  assertStringIncludes(
    error.message,
    `Cannot build libspecache: ${file}/below/lock has a file where its path wants a folder`,
  );
});
