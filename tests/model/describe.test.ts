// describe.test.ts - every supported model is described, every broken file refused by its fault.
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { SpecacheError } from "../../engine/errors.ts";
import { describeModel, type TensorPlace } from "../../engine/model/describe.ts";
import { roles, tensorTypes } from "../../engine/model/roles.ts";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
  assertThrows,
  test,
} from "../harness.ts";
import { golden, withFolder, writeHeader } from "./files.ts";

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
  "gguf-bad-magic.gguf": ["is not a GGUF file"],
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
    const unknown = [
      "cfg-unknown-architecture",
      "cfg-unknown-rope",
      "gguf-unknown-architecture.gguf",
    ];
    assertEquals(error.code, unknown.includes(file) ? "unsupported" : "file");
  });
}

test("every broken file has a test, and the controls load", () => {
  const files = readdirSync(join(golden, "bad")).filter((name) => name !== "README.md");
  assertEquals(files.sort(), [...Object.keys(faults), ...controls].sort());
  for (const name of controls) assertEquals(describeModel(join(golden, "bad", name)).layers, 1);
});

for (
  const [name, word] of [["mistral-sliding", "sliding_window 32"], [
    "llama-dynamic-rope",
    "dynamic",
  ]]
) {
  test(`describeModel() refuses ${name} by name`, () => {
    const error = assertThrows(() => describeModel(join(golden, name)));
    assertInstanceOf(error, SpecacheError);
    assertEquals(error.code, "unsupported");
    assertStringIncludes(error.message, word);
  });
}

test("an empty file and a folder without config.json are told as what they are", () => {
  withFolder((folder) => {
    const file = join(folder, "empty.gguf");
    writeFileSync(file, "");
    const facts: [path: string, sentence: string][] = [
      [file, `Cannot open model: ${file} is empty`],
      [folder, `Cannot open model: ${join(folder, "config.json")} does not exist, which `],
    ];
    for (const [path, sentence] of facts) {
      assertStringIncludes(
        assertThrows(() => describeModel(path), SpecacheError).message,
        sentence,
      );
    }
  });
});

test("mistral's older spelling is refused for its window too", () => {
  withFolder((folder) => {
    cpSync(join(golden, "mistral-sliding"), folder, { recursive: true });
    cpSync(join(folder, "config-legacy.json"), join(folder, "config.json"));
    const error = assertThrows(() => describeModel(folder));
    assertInstanceOf(error, SpecacheError);
    assertEquals(error.code, "unsupported");
  });
});

test("tensors of both shards are placed by role, layer, shape and file", () => {
  const model = describeModel(join(golden, "llama-bf16-sharded-tied"));
  // Nine of each of 3 layers, the embedding and the last norm; the output is the embedding.
  assertEquals(model.tensors.length, 3 * 9 + 2);
  assertEquals(model.tied, true);
  assertEquals(new Set(model.tensors.map(({ path }) => basename(path))).size, 2);
  const key = model.tensors.find(({ role, layer }) => role === roles.key && layer === 2);
  assertEquals(key?.name, "model.layers.2.self_attn.k_proj.weight");
  assertEquals([key?.type, key?.rows, key?.columns], [tensorTypes.bf16, 2 * 16, 64]);
  const norm = model.tensors.find(({ role }) => role === roles.outputNorm);
  assertEquals([norm?.rows, norm?.columns], [1, 64]);
});

test("a tensor's offset is where its bytes lie: GGUF and safetensors agree in f32", () => {
  const folder = describeModel(join(golden, "llama-plain"));
  const gguf = describeModel(join(golden, "gguf/llama-plain.f32.gguf"));
  assertEquals(gguf.tensors.length, folder.tensors.length);
  const bytes = ({ path, offset, rows, columns }: TensorPlace) =>
    readFileSync(path).subarray(offset, offset + 4 * rows * columns);
  for (const place of folder.tensors) {
    const same = gguf.tensors.find(({ role, layer }) =>
      role === place.role && layer === place.layer
    );
    assert(same !== undefined);
    assertEquals([same.rows, same.columns], [place.rows, place.columns]);
    // Rows of q and k stand in another order in a GGUF file.
    const reordered = place.role === roles.query || place.role === roles.key;
    assertEquals(bytes(same).equals(bytes(place)), !reordered, place.name);
  }
  assertEquals([folder.ropeNeighbours, gguf.ropeNeighbours], [false, true]);
});

test("rope_freqs.weight gives the frequencies that config.json's llama3 scaling does", () => {
  const folder = describeModel(join(golden, "llama3-rope"));
  const gguf = describeModel(join(golden, "gguf/llama3-rope.q4_1.gguf"));
  // The divisors are f32: half a unit in the last place is 6e-8.
  folder.frequencies.forEach((f, i) => assertAlmostEquals(gguf.frequencies[i] / f, 1, 6.1e-8));
  assertEquals(folder.eos, [2, 3]);
  assertEquals([gguf.tied, gguf.bos, gguf.addBos, gguf.eos], [true, 1, true, [2]]);
});

test("every type of the golden GGUF files is placed as itself", () => {
  const typesOf = (name: string, model = "llama-plain") => {
    const { tensors } = describeModel(join(golden, `gguf/${model}.${name}.gguf`));
    return [...new Set(tensors.map(({ type }) => type))].sort();
  };
  const { f32, f16, q8_0, q4_0, q4_1, q4_k, q5_k, q6_k } = tensorTypes;
  assertEquals(typesOf("f32"), [f32]);
  assertEquals(typesOf("f16"), [f32, f16]);
  assertEquals(typesOf("q8_0"), [f32, q8_0]);
  assertEquals(typesOf("q4_0"), [f32, q4_0]);
  assertEquals(typesOf("q4_1"), [f32, q8_0, q4_1]);
  assertEquals(typesOf("q4_k_m", "llama-k"), [f32, q4_k, q6_k]);
  assertEquals(typesOf("q5_k_m", "llama-k"), [f32, q5_k, q6_k]);
});

test("a path that does not exist is refused by name", () => {
  const error = assertThrows(() => describeModel("/no/such/model"));
  assertInstanceOf(error, SpecacheError);
  assertStringIncludes(error.message, "/no/such/model does not exist");
});

test("a header with a string of 16 MB is read, one with an object for a dtype refused", () => {
  withFolder((folder) => {
    cpSync(join(golden, "llama-plain"), folder, { recursive: true });
    const long = "x".repeat(1 << 24);
    const metadata = /"__metadata__":\s*\{/;
    const grown = (header: string) => header.replace(metadata, `$&"a":"${long}",`);
    writeHeader(folder, "llama-plain", grown);
    assert(describeModel(folder).tensors.length > 0);
    writeHeader(
      folder,
      "llama-plain",
      (header) => header.replace(/"dtype":\s*"\w+"/, '"dtype":{"toString":1,"valueOf":1}'),
    );
    const error = assertThrows(() => describeModel(folder), SpecacheError);
    assertStringIncludes(error.message, '{"toString":1,"valueOf":1}');
  });
});
