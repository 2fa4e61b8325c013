// Every program of examples/ runs, with the runtime that runs the tests, and prints what it is for.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import process from "node:process";
import { Folder, needle, pathOf } from "../cli/command.ts";
import { Server, template } from "../cli/server.ts";
import {
  assertEquals,
  assertGreater,
  assertLess,
  assertMatch,
  assertStringIncludes,
} from "../harness.ts";
import { runtime, test } from "../harness.ts";

const FACT = "The code of amber is 44219. The weather is fine.";

// What a program prints, given arguments and standard input.
async function printed(name: string, args: readonly string[], input = ""): Promise<string> {
  const command = runtime === "deno" ? ["run", "-A", "--no-check"] : [];
  const child = spawn(process.execPath, [...command, pathOf(`examples/${name}`), ...args], {
    env: { ...process.env, NO_COLOR: "1" },
  });
  const texts = { stdout: "", stderr: "" };
  child.stdout.on("data", (data) => texts.stdout += data);
  child.stderr.on("data", (data) => texts.stderr += data);
  child.stdin.end(input);
  const [status] = await once(child, "close");
  assertEquals(status, 0, texts.stderr);
  return texts.stdout;
}

test("every example is run by a test of this file", () => {
  const names = readdirSync(pathOf("examples")).filter((name) => name.endsWith(".ts")).sort();
  assertEquals(names, ["chat.ts", "client.ts", "generate.ts", "own_model.ts", "profile.ts"]);
});

test("examples/generate.ts streams a text and tells tokens and bytes", async () => {
  const text = await printed("generate.ts", [needle, `${FACT} The code of amber is`]);
  assertMatch(text, /^ 44219\.[^]*\n24 tokens, \d+ bytes near\n$/);
});

test("examples/chat.ts answers two lines, and reads of the second turn what is new", async () => {
  using folder = new Folder();
  const args = [needle, folder.file("template", template)];
  const text = await printed("chat.ts", args, `${FACT}\nAgain.\n`);
  const turns = text.matchAll(/^\(\d+ tokens read, (\d+) held\)$/gm);
  const held = Array.from(turns, ([, tokens]) => Number(tokens));
  assertEquals([held.length, held[0]], [2, 0]);
  assertGreater(held[1], 20);
  assertMatch(text, /^ 44219/);
});

test("examples/profile.ts tells less near memory with a profile, least with compact", async () => {
  const ratios = (await printed("profile.ts", [needle])).match(/0\.\d+/g)!.map(Number);
  assertEquals([ratios.length, [...ratios].sort((a, b) => b - a)], [3, ratios]);
});

test("examples/client.ts streams the answer of a server", async () => {
  using folder = new Folder();
  await using server = await Server.start(folder.file("template", template));
  assertStringIncludes(await printed("client.ts", [server.url, "", FACT]), "44219");
});

test("examples/own_model.ts tells what followed a token 3,000 tokens before", async () => {
  const text = await printed("own_model.ts", []);
  assertMatch(text, /^after 900: 901 902 903 904 905\n4011 tokens, near memory \d+\.\d % of /);
  assertLess(Number(text.match(/near memory (\S+) %/)![1]), 20);
});
