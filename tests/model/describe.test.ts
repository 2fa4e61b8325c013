// describe.test.ts - every supported model is described, every broken file refused by its fault.
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SpecacheError } from "../../engine/errors.ts";
import { describeModel } from "../../engine/model/describe.ts";
import { assertEquals, assertInstanceOf, assertStringIncludes, assertThrows, test } from "../harness.ts";

const golden = new URL("../golden/", import.meta.url).pathname;
const up = "model.layers.0.mlp.up_proj.weight";

// What the error about each broken file must name.
const faults: Record<string, string[]> = {
  "st-short": ["5 bytes"],
  "st-header-truncated": ["header length", "file size"],
  "st-header-huge": ["18446744073709551615", "file size"],
  "st-header-not-json": ["header is not JSON"],
  "st-overlap": ["model.layers.0.self_attn.v_proj.weight"],
  "st-past-end": ["model.layers.0.post_attention_layernorm.weight"],
  "st-reversed": [up],
  "st-hole": ["unused bytes", "model.embed_tokens.weight"],
  "st-bad-dtype": [up, "BF17"],
  "st-duplicate-name": [up],
  "st-missing-tensor": [up],
  "st-shape-mismatch": [up, "8,32", "16,16"],
  "st-size-mismatch": [up, "[16,15]"],
  "st-negative-shape": [up, "[-16,-16]"],
  "st-float-shape": [up, "[16.5,16]"],
  "st-shape-overflow": [up, "576460752303423500"],
  "cfg-zero-heads": ["num_attention_heads"],
  "cfg-heads-not-divisible": ["num_attention_heads", "num_key_value_heads"],
  "cfg-unknown-architecture": ["Zebra"],
  "cfg-unknown-rope": ["spiral"],
  "cfg-missing-field": ["hidden_size"],
  "cfg-not-json": ["config.json"],
  "idx-missing-shard": ["model-00002-of-00002.safetensors"],
  "idx-outside": ["../ok/model.safetensors"],
  "gguf-bad-magic.gguf": ["not GGUF"],
  "gguf-bad-version.gguf": ["99"],
  "gguf-truncated.gguf": ["file size"],
  "gguf-data-truncated.gguf": ["tensor", "file size"],
  "gguf-huge-count.gguf": ["tensor count 1152921504606846976"],
  "gguf-huge-string.gguf": ["4611686018427387904"],
  "gguf-bad-type.gguf": ["blk.0.ffn_up.weight", "99"],
  "gguf-past-end.gguf": ["blk.0.ffn_up.weight", "offset 1099511627776"],
  "gguf-misaligned.gguf": ["blk.0.ffn_up.weight", "offset 33"],
  "gguf-part-block.gguf": ["blk.0.ffn_up.weight", "33"],
  "gguf-unknown-architecture.gguf": ["zebra"],
  "gguf-missing-tensor.gguf": ["blk.0.ffn_up.weight"],
};
// Nothing in their headers is wrong.
const controls = ["ok", "ok.gguf", "st-nan"];

for (const [file, words] of Object.entries(faults)) {
  test(`describeModel() refuses ${file} naming the file and ${words.join(", ")}`, () => {
    const error = assertThrows(() => describeModel(join(golden, "bad", file)));
    assertInstanceOf(error, SpecacheError);
    assertStringIncludes(error.message, file.replace(/^idx-.*/, "bad/"));
    for (const word of words) assertStringIncludes(error.message, word);
  });
}

test("every broken file has a test, and the controls load", () => {
  const files = readdirSync(join(golden, "bad")).filter((name) => name !== "README.md");
  assertEquals(files.sort(), [...Object.keys(faults), ...controls].sort());
  for (const name of controls) assertEquals(describeModel(join(golden, "bad", name)).layers, 1);
});

for (const [name, word] of [["mistral-sliding", "sliding_window 32"], ["llama-dynamic-rope", "dynamic"]]) {
  test(`describeModel() refuses ${name} by name`, () => {
    const error = assertThrows(() => describeModel(join(golden, name)));
    assertInstanceOf(error, SpecacheError);
    assertEquals(error.code, "unsupported");
    assertStringIncludes(error.message, word);
  });
}

test("the older spelling of config.json describes the same model", () => {
  for (const name of ["llama-plain", "llama3-rope", "qwen2-yarn", "llama-linear-rope", "qwen3"]) {
    const folder = mkdtempSync(join(tmpdir(), "specache-"));
    try {
      cpSync(join(golden, name), folder, { recursive: true });
      cpSync(join(golden, name, "config-legacy.json"), join(folder, "config.json"));
      const { name: _, tensors: __, ...legacy } = describeModel(folder);
      const { name: ___, tensors: ____, ...current } = describeModel(join(golden, name));
      assertEquals(legacy, current);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
});

test("a path that does not exist is refused by name", () => {
  const error = assertThrows(() => describeModel("/no/such/model"));
  assertInstanceOf(error, SpecacheError);
  assertStringIncludes(error.message, "/no/such/model does not exist");
});
