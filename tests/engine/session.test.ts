// A session over several requests: one bos, a request that fails, an engine that closes meanwhile.
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needleModel } from "../../eval/source.ts";
import { Engine } from "../../mod.ts";
import { assert, assertEquals, assertStringIncludes, test } from "../harness.ts";
import { errorOf, textIds } from "./support.ts";

interface TokenizerFile {
  added_tokens: { id: number; content: string; special: boolean }[];
}

// The needle model that begins texts with bos and has a token beyond its 1,024 embeddings.
async function withCopy(body: (model: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "specache-"));
  try {
    cpSync(needleModel, folder, { recursive: true });
    const path = join(folder, "tokenizer.json");
    const tokenizer = JSON.parse(readFileSync(path, "utf8")) as TokenizerFile;
    const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
    tokenizer.added_tokens.push({ id: 1_024, content: "<|x|>", special: true, ...flags });
    writeFileSync(path, JSON.stringify(tokenizer));
    writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify({ add_bos_token: true }));
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a session's text has one bos, whatever number of prompts it is made of", () =>
  withCopy(async (model) => {
    await using engine = await Engine.open({ model, contextTokens: 256, sequences: 2 });
    const count = async (session: Awaited<ReturnType<typeof engine.session>>, prompt: string) =>
      (await session.generate({ prompt, maxTokens: 0 }).result).usage.promptTokens;
    const session = await engine.session();
    const bare = engine.tokenizer!.encode(" river", false).length;
    assertEquals(await count(session, " river"), 1 + bare);
    assertEquals(await count(session, " river"), bare);
    const fork = await session.fork();
    assertEquals(await count(fork, " river"), bare);
    await fork.truncate(0);
    assertEquals(await count(fork, " river"), 1 + bare);
  }));

test("a prompt with a token beyond the embeddings is refused, and the session goes on", () =>
  withCopy(async (model) => {
    await using engine = await Engine.open({ model, contextTokens: 256, sequences: 2 });
    const [session, other] = [await engine.session(), await engine.session()];
    for (const each of [session, other]) {
      await each.generate({ prompt: "The code of the river is 12345.", maxTokens: 0 }).result;
    }
    const error = await errorOf(() => session.generate({ prompt: "The <|x|>" }).result);
    assertEquals(error.code, "argument");
    assertEquals(error.message, "Cannot generate: id 1024 is not below the vocabulary's 1024");
    assertEquals(session.length, other.length);
    const ask = { prompt: " The code of the river is", maxTokens: 8 };
    const { text } = await session.generate(ask).result;
    assertEquals(text, (await other.generate(ask).result).text);
  }));

test("closing an engine during a prefill fails it as closed, and no piece follows", async () => {
  const engine = await Engine.open({ model: needleModel, contextTokens: 8_192 });
  const session = await engine.session();
  let pieces = 0;
  let closing: Promise<void> | null = null;
  const run = session.generate({
    ids: textIds(8_000),
    maxTokens: 1,
    progress: () => {
      pieces++;
      closing ??= engine.close();
    },
  });
  assertEquals((await errorOf(() => run.result)).code, "closed");
  await closing;
  assert(pieces <= 2, `${pieces} pieces were read`); // the first, and one that was ending meanwhile
});

// Cuts a far file, which has no name any more, to nothing behind the store's back.
function emptyFarFile(file: string): void {
  for (const name of readdirSync("/proc/self/fd")) {
    const link = `/proc/self/fd/${name}`;
    let target = "";
    try {
      target = readlinkSync(link);
    } catch {
      continue; // the handle that lists the folder is closed by now
    }
    if (target.startsWith(file)) truncateSync(link, 0);
  }
}

test("a request that fails in prefill leaves nothing of its prompt in the session", async () => {
  const folder = mkdtempSync(join(tmpdir(), "specache-"));
  const file = join(folder, "far");
  await using engine = await Engine.open({
    model: needleModel,
    contextTokens: 1_024,
    far: { file },
  });
  const session = await engine.session();
  const ids = textIds(500);
  await session.generate({ ids: ids.slice(0, 300), maxTokens: 0 }).result;
  emptyFarFile(file);
  const error = await errorOf(() => session.generate({ ids: ids.slice(300) }).result);
  // Writing the page that the prompt goes on in makes the file long again, with zeros before it.
  assertEquals(error.code, "data");
  assertStringIncludes(error.message, "checksum");
  assertEquals(session.length, 300);
  // What waits would be read now, and fail again.
  assertEquals((await session.generate({ maxTokens: 0 }).result).usage.promptTokens, 0);
  rmSync(folder, { recursive: true });
});

test("a conversation that cannot go back to what it shares leaves all as it was", async () => {
  const folder = mkdtempSync(join(tmpdir(), "specache-"));
  const file = join(folder, "far");
  await using engine = await Engine.open({
    model: needleModel,
    contextTokens: 1_024,
    far: { file },
    chatTemplate: "{% for m in messages %}{{ m.content }}\n{% endfor %}",
  });
  const session = await engine.session();
  const text = engine.tokenizer!.decode(textIds(600));
  const say = (content: string) =>
    session.generate({ messages: [{ role: "user", content }], maxTokens: 0 }).result;
  const { usage } = await say(text.slice(0, 1_000));
  emptyFarFile(file);
  const error = await errorOf(() => say(`${text.slice(0, 700)} and then ${text.slice(0, 500)}`));
  assertStringIncludes(error.message, "Cannot truncate a sequence: cannot read");
  assertEquals([session.length, (await session.stats()).tokens], Array(2).fill(usage.promptTokens));
  rmSync(folder, { recursive: true });
});
