// The engine and the command line on the emulated device cuda, as a user calls them.

import { Engine, SpecacheError } from "../../../mod.ts";
import { needleDocument, recalls } from "../../../eval/needle.ts";
import { needleModel, shippedSource } from "../../../eval/source.ts";
import { command, Folder, idsText, tiny } from "../../../tests/cli/command.ts";
import { assert, assertEquals, assertRejects, test } from "../../../tests/harness.ts";

test("the shipped model recalls a fact of 512 tokens on device cuda, as on the CPU", async () => {
  const source = await shippedSource();
  for (const seed of [0, 1]) {
    const document = needleDocument(source, { seed, tokens: 512, facts: 4 });
    const ask = async (device: "cpu" | "cuda") => {
      const options = { model: needleModel, contextTokens: 576, k: 64, device };
      await using engine = await Engine.open(options);
      return await engine.generate({ ids: document.ids, maxTokens: 8 }).result;
    };
    const [cpu, cuda] = [await ask("cpu"), await ask("cuda")];
    assertEquals(cuda.tokens, cpu.tokens);
    assert(recalls(cuda.text, document.answer), `${cuda.text} is not ${document.answer}`);
    assertEquals(cuda.device.isa, "cuda");
    assertEquals(cuda.device.name, "emulated device");
    assert(cuda.cache.prefetchedRows > 0);
  }
});

test("--device cuda generates, and says on what", async () => {
  using folder = new Folder();
  const ids = folder.file("ids.json", idsText(20));
  const args = ["generate", "--model", tiny, "--ids-file", ids, "--max-tokens", "2"];
  const ended = await command([...args, "--device", "cuda", "--prefetch", "gather", "--json"]);
  assertEquals(ended.status, 0, ended.stderr);
  assertEquals(JSON.parse(ended.stdout).device.name, "emulated device");
});

test("device cuda refuses a far file, an audit and an instruction set by name", async () => {
  const refusals = [
    [{ far: { file: "/tmp/specache-never-made" } }, "unsupported", "far memory in a file"],
    [{ audit: 0.5 }, "unsupported", "audits"],
    [{ isa: "portable" }, "argument", "isa portable has no use with device cuda"],
  ] as const;
  for (const [options, code, sentence] of refusals) {
    const error = await assertRejects(
      () => Engine.open({ model: tiny, device: "cuda", ...options }),
      SpecacheError,
    );
    assertEquals(error.code, code);
    assert(error.message.includes(sentence), error.message);
  }
  const error = await assertRejects(
    () => Engine.open({ model: tiny, prefetch: "gather" }),
    SpecacheError,
  );
  assertEquals(
    error.message,
    "Cannot open an engine: prefetch gather has no use without device cuda",
  );
});
