// Every program of examples/ runs, with the runtime that runs the tests, and prints what it is for.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import process from "node:process";
import { type Ended, Folder, needle, pathOf } from "../cli/command.ts";
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

// What a program comes to, given arguments and standard input.
async function ended(name: string, args: readonly string[], input = ""): Promise<Ended> {
  const command = runtime === "deno" ? ["run", "--quiet", "-A", "--no-check"] : [];
  const child = spawn(process.execPath, [...command, pathOf(`examples/${name}`), ...args], {
    env: { ...process.env, NO_COLOR: "1" },
  });
  const texts = { stdout: "", stderr: "" };
  child.stdout.on("data", (data) => texts.stdout += data);
  child.stderr.on("data", (data) => texts.stderr += data);
  child.stdin.end(input);
  const [status] = await once(child, "close");
  return { status, ...texts };
}

async function printed(name: string, args: readonly string[], input = ""): Promise<string> {
  const { status, stdout, stderr } = await ended(name, args, input);
  assertEquals(status, 0, stderr);
  return stdout;
}

test("every example is run by a test of this file", () => {
  const names = readdirSync(pathOf("examples")).filter((name) => name.endsWith(".ts")).sort();
  assertEquals(names, [
    ...["ai_sdk.ts", "chat.ts", "client.ts", "generate.ts", "openai.ts", "own_model.ts"],
    ...["profile.ts", "store_client.ts"],
  ]);
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

test("clients of examples/ stream a server's answer: with fetch, openai, the AI SDK", async () => {
  using folder = new Folder();
  await using server = await Server.start(folder.file("template", template));
  assertStringIncludes(await printed("client.ts", [server.url, "", FACT]), "44219");
  const openai = await printed("openai.ts", [server.url, "", FACT]);
  assertMatch(openai, /44219[^]*\n\d+ tokens read, \d+ of them held already\n$/);
  const aiSdk = await printed("ai_sdk.ts", [server.url, "", FACT]);
  assertMatch(aiSdk, /44219[^]*\n\d+ tokens read, \d+ written\n$/);
});

test("examples/store_client.ts finds tokens by their keys in a server's raw store", async () => {
  using folder = new Folder();
  await using server = await Server.start(folder.file("template", template));
  const text = await printed("store_client.ts", [server.url, ""]);
  const [bytes] = text.match(/2000 tokens, (\d+) of (\d+) bytes near\n$/)!;
  assertEquals(text.replace(bytes, ""), "7: 7.0\n700: 700.0\n1900: 1900.0\n");
});

const nowhere = "http://127.0.0.1:9/v1";
const refused: readonly (readonly [name: string, args: string[], sentence: RegExp])[] = [
  ["generate.ts", [], /^Usage: generate\.ts MODEL PROMPT$/],
  ["generate.ts", ["none", "a"], /^Cannot open model: none does not exist$/],
  ["generate.ts", [needle, ""], /^Cannot generate: the prompt is empty/],
  ["chat.ts", [], /^Usage: chat\.ts MODEL \[TEMPLATE_FILE\]$/],
  ["profile.ts", [], /^Usage: profile\.ts MODEL$/],
  ["profile.ts", ["none"], /^Cannot open model: none does not exist$/],
  ["client.ts", [nowhere, ""], /^Usage: client\.ts URL KEY QUESTION$/],
  ["client.ts", [nowhere, "", "a"], /^Cannot reach http.+; specache serve prints the URL$/],
  ["client.ts", ["nonsense", "", "a"], /^Cannot reach nonsense; /],
  ["openai.ts", [nowhere, ""], /^Usage: openai\.ts URL KEY QUESTION$/],
  ["openai.ts", [nowhere, "", "a"], /^Connection error\.$/],
  ["ai_sdk.ts", [nowhere, ""], /^Usage: ai_sdk\.ts URL KEY QUESTION$/],
  ["ai_sdk.ts", [nowhere, "", "a"], /^Cannot reach http.+; specache serve prints the URL$/],
  ["store_client.ts", [nowhere], /^Usage: store_client\.ts URL KEY$/],
  ["store_client.ts", [nowhere, ""], /^Cannot reach http.+; specache serve prints the URL$/],
];

test("a program that cannot do what it is asked says so in one sentence: status 2", async () => {
  for (const [name, args, sentence] of refused) {
    const { status, stderr } = await ended(name, args);
    assertMatch(stderr.trimEnd(), sentence, name);
    assertEquals([status, stderr.trimEnd().split("\n").length], [2, 1], stderr);
  }
});

test("examples of clients with a wrong key print the server's sentence", async () => {
  using folder = new Folder();
  const keys = ["--api-key-file", folder.file("keys", "right\n")];
  await using server = await Server.start(folder.file("template", template), keys);
  for (const name of ["client.ts", "openai.ts", "ai_sdk.ts", "store_client.ts"]) {
    const { status, stderr } = await ended(name, [server.url, "wrong", FACT]);
    assertEquals(status, 2, name);
    assertMatch(stderr, /^(401 )?Cannot answer: the API key is none of the server's\n$/, name);
  }
});

test("examples/own_model.ts tells what followed a token 3,000 tokens before", async () => {
  const text = await printed("own_model.ts", []);
  assertMatch(text, /^after 900: 901 902 903 904 905\n4011 tokens, near memory \d+\.\d % of /);
  assertLess(Number(text.match(/near memory (\S+) %/)![1]), 20);
});
