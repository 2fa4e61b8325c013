// A server that is told to end finishes what runs and tells what waits; one that is killed leaves
// nothing behind.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { assert, assertEquals, test } from "../harness.ts";
import { Folder } from "../cli/command.ts";
import { Server, template, until } from "../cli/server.ts";

/** How a request came out. */
type Came = "finished" | "told" | string;

async function ask(url: string, stream: boolean): Promise<Came> {
  const body = {
    model: "needle",
    messages: [{ role: "user", content: "The code of amber is 44219." }],
    ...{ max_tokens: 1500, stream },
  };
  const headers = { "Content-Type": "application/json" };
  try {
    const init = { method: "POST", headers, body: JSON.stringify(body) };
    const response = await fetch(`${url}/chat/completions`, init);
    const text = await response.text();
    if (response.status === 503) return JSON.parse(text).error.code === "closed" ? "told" : text;
    if (stream) return text.endsWith("data: [DONE]\n\n") ? "finished" : text.slice(-200);
    return JSON.parse(text).choices[0].finish_reason === "length" ? "finished" : text;
  } catch (error) {
    return String(error);
  }
}

test("SIGTERM under load: each request is finished or told, and the end is well", async () => {
  using folder = new Folder();
  const args = ["--context", "2048", "--sequences", "3"];
  await using server = await Server.start(folder.file("template", template), args);
  const { url } = server;
  const asked = Array.from({ length: 9 }, (_, at) => ask(url, at % 2 === 0));
  const running = async () => {
    const { running, waiting } = await (await fetch(`${url}/stats`)).json();
    return running === 3 && waiting === 6;
  };
  while (!await running()) await new Promise((answer) => setTimeout(answer, 5));
  const ended = server.end("SIGTERM");
  await until(() => server.stderr.includes("Finishing"));
  const came = await Promise.all(asked);
  assertEquals(came.toSorted(), [...Array(3).fill("finished"), ...Array(6).fill("told")]);
  assertEquals(await ended, 0);
});

test("a killed server leaves no far file, and the next one is ready in its place", async () => {
  using folder = new Folder();
  const far = join(folder.path, "far");
  const file = folder.file("template", template);
  const args = ["--context", "2048", "--sequences", "2", "--far", far];
  for (let killed = 0; killed < 2; killed++) {
    await using server = await Server.start(file, args);
    const root = server.url.replace(/\/v1$/, "");
    assertEquals((await fetch(`${root}/ready`)).status, 200);
    const asked = [ask(server.url, true), ask(server.url, false)];
    await new Promise((answer) => setTimeout(answer, 100));
    assert(!existsSync(far)); // it has no name, so the system frees it whatever ends the process
    await server[Symbol.asyncDispose](); // SIGKILL
    for (const each of asked) assert(!["finished", "told"].includes(await each));
  }
});
