// A fast prefill through the command line: cuBLAS is found as a library of the system is, by a
// process of its own whose LD_LIBRARY_PATH leads to what stands for it.
import { execFileSync } from "node:child_process";
import { describeModel } from "../../../engine/model/describe.ts";
import { needleDocument, recalls } from "../../../eval/needle.ts";
import { shippedSource } from "../../../eval/source.ts";
import { Folder, idsText, needle, pathOf, spawned, tiny } from "../../../tests/cli/command.ts";
import { assert, assertEquals, assertStringIncludes, test } from "../../../tests/harness.ts";

const BROKEN = "no library at all, but longer than the header of one would be: 64 bytes and more";

function buildCublas(folder: Folder, name: string): void {
  const source = pathOf("cuda/tests/engine/cublas.cpp");
  const flags = ["-std=c++20", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror"];
  execFileSync("g++", [...flags, source, "-o", folder.of(name)]);
}

function generate(libraries: Folder, model: string, ids: string, more: readonly string[] = []) {
  const file = libraries.file("ids.json", ids);
  const args = ["generate", "--model", model, "--ids-file", file, "--device", "cuda", "--json"];
  const environment = { LD_LIBRARY_PATH: libraries.path };
  return spawned("main.ts", [...args, "--prefill", "fast", ...more], true, environment);
}

// Of a layer: query, key, value, attention output, gate, up and down.
const productsOf = (model: string, chunks: number) => 7 * describeModel(model).layers * chunks;

test("by a fast prefill the shipped model recalls a fact, by the next of three names", async () => {
  using libraries = new Folder();
  libraries.file("libcublas.so.13", BROKEN);
  buildCublas(libraries, "libcublas.so.12");
  const document = needleDocument(await shippedSource(), { seed: 1, tokens: 256, facts: 2 });
  const ended = await generate(libraries, needle, JSON.stringify(document.ids), [
    ...["--k", "64", "--max-tokens", "8"],
  ]);
  assertEquals(ended.status, 0, ended.stderr);
  const { text } = JSON.parse(ended.stdout);
  assert(recalls(text, document.answer), `${text} is not ${document.answer}`);
  assertStringIncludes(ended.stderr, `${productsOf(needle, 1)} products by cuBLAS`);
});

test("a fast prefill takes a model whose weights are blocks of 4 bits", async () => {
  using libraries = new Folder();
  buildCublas(libraries, "libcublas.so");
  libraries.file("libcublas.so.13", BROKEN);
  libraries.file("libcublas.so.12", BROKEN);
  const model = pathOf("tests/golden/gguf/llama-plain.q4_0.gguf");
  const ended = await generate(libraries, model, idsText(20), ["--max-tokens", "2"]);
  assertEquals(ended.status, 0, ended.stderr);
  assertEquals(JSON.parse(ended.stdout).tokens.length, 2);
  assertStringIncludes(ended.stderr, `${productsOf(model, 1)} products by cuBLAS`);
});

test("without a cuBLAS that opens a fast prefill is refused, with the names tried", async () => {
  using libraries = new Folder();
  const names = ["libcublas.so.13", "libcublas.so.12", "libcublas.so"];
  for (const name of names) libraries.file(name, BROKEN);
  const ended = await generate(libraries, tiny, idsText(20));
  assertEquals(ended.status, 1);
  assertStringIncludes(
    ended.stderr,
    "Cannot open an engine: prefill fast needs cuBLAS, and none of libcublas.so.13, " +
      "libcublas.so.12 and libcublas.so opens: ",
  );
});

test("a cuBLAS that lacks a function is refused by the function's name", async () => {
  using libraries = new Folder();
  const source = libraries.file("empty.cpp", 'extern "C" int cublasCreate_v2() { return 0; }\n');
  const library = libraries.of("libcublas.so.13");
  execFileSync("g++", ["-fPIC", "-shared", source, "-o", library]);
  const ended = await generate(libraries, tiny, idsText(20));
  assertEquals(ended.status, 1);
  assertStringIncludes(ended.stderr, "prefill fast: cuBLAS has no function cublasSetStream_v2");
});
