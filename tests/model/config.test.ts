// config.test.ts - what config.json and safetensors headers may say, and what is refused by name.
import { cpSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SpecacheError } from "../../engine/errors.ts";
import { describeModel } from "../../engine/model/describe.ts";
import {
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
  assertThrows,
  test,
} from "../harness.ts";
import { golden, withFolder, writeConfig, writeHeader } from "./files.ts";

const upProjection = "model.layers.0.mlp.up_proj.weight";

// Golden model, changed fields of its config, code and words of the error.
const configs: [string, Record<string, unknown>, string, string][] = [
  ["llama-plain", { hidden_act: "gelu" }, "unsupported", "hidden_act gelu"],
  ["llama-plain", { quantization_config: { quant_method: "awq" } }, "unsupported", "awq"],
  ["llama-plain", { partial_rotary_factor: 0.5 }, "unsupported", "partial_rotary_factor 0.5"],
  ["llama-plain", { architectures: ["constructor"] }, "unsupported", "constructor"],
  ["llama-plain", { head_dim: 15 }, "file", "head size 15"],
  ["llama-plain", { num_hidden_layers: 3 }, "file", "model.layers.2."],
  ["llama-plain", { num_hidden_layers: 1e9 }, "file", "model.layers.2."],
  ["llama-plain", { vocab_size: "320" }, "file", 'vocab_size "320"'],
  ["llama-plain", { rms_norm_eps: -1 }, "file", "rms_norm_eps -1"],
  ["llama-plain", { rope_parameters: { rope_theta: "x" } }, "file", "rope_theta"],
  ["llama-plain", { attention_bias: true }, "file", "q_proj.bias is missing"],
  ["llama-plain", { mlp_bias: true }, "file", "gate_proj.bias is missing"],
  ["llama-plain", { architectures: ["Qwen2ForCausalLM"] }, "file", "q_proj.bias is missing"],
  ["llama-plain", { architectures: ["Qwen3ForCausalLM"] }, "file", "q_norm.weight is missing"],
  ["qwen3", { architectures: ["LlamaForCausalLM"] }, "unsupported", "q_norm.weight"],
  ["qwen2", { use_sliding_window: true, sliding_window: 32 }, "unsupported", "sliding_window 32"],
  ["mistral", { sliding_window: 511 }, "unsupported", "sliding_window 511"],
  ["qwen2", { layer_types: ["sliding_attention"] }, "unsupported", "sliding_attention"],
];

for (const [name, fields, code, word] of configs) {
  test(`describeModel() refuses ${name} with ${JSON.stringify(fields)}`, () => {
    withFolder((folder) => {
      cpSync(join(golden, name), folder, { recursive: true });
      writeConfig(folder, name, fields);
      const error = assertThrows(() => describeModel(folder));
      assertInstanceOf(error, SpecacheError);
      assertStringIncludes(error.message, word);
      assertEquals(error.code, code);
    });
  });
}

test("a sliding window that no position leaves, or that is not used, is no hindrance", () => {
  withFolder((folder) => {
    for (
      const [name, fields] of [
        ["mistral", { sliding_window: 512 }],
        ["qwen2", { sliding_window: 32, use_sliding_window: false }],
      ] as const
    ) {
      cpSync(join(golden, name), folder, { recursive: true });
      writeConfig(folder, name, fields);
      assertEquals(describeModel(folder).layers, 2);
    }
  });
});

// Edit of the header's text, words of the error.
const headers: Record<string, [(header: string) => string, string]> = {
  "a dtype called constructor": [(text) => text.replace('"BF16"', '"constructor"'), "constructor"],
  "a name written twice in two spellings": [
    (text) => text.replace("{", '{"\\u006dodel.norm.weight":{},'),
    "model.norm.weight",
  ],
  "an entry that is null": [(text) => text.replace("{", '{"a":null,'), "tensor a"],
  "a list": [() => "[]", "not a JSON object"],
  "a shape of a thousand dimensions": [
    (text) => text.replace("[16,16]", JSON.stringify(Array(1000).fill(1))),
    "1000 dimensions",
  ],
  "offsets that are text": [(text) => text.replace(/"data_offsets":\[/, '$&"x",'), "data_offsets"],
};

for (const [name, [edit, word]] of Object.entries(headers)) {
  test(`describeModel() refuses a safetensors header with ${name}`, () => {
    withFolder((folder) => {
      writeConfig(folder, "bad/ok", {});
      writeHeader(folder, "bad/ok", edit);
      const error = assertThrows(() => describeModel(folder));
      assertInstanceOf(error, SpecacheError);
      assertEquals(error.code, "file");
      assertStringIncludes(error.message, word);
    });
  });
}

test("attention_bias asks for the bias of the output projection too", () => {
  withFolder((folder) => {
    writeConfig(folder, "llama-bias", {});
    const bias = "model.layers.0.self_attn.o_proj.bias";
    writeHeader(folder, "llama-bias", (text) => text.replace(bias, "unused"));
    const error = assertThrows(() => describeModel(folder), SpecacheError);
    assertStringIncludes(error.message, `${bias} is missing`);
  });
});

test("a tied model's second copy of the embedding is left out", () => {
  withFolder((folder) => {
    cpSync(join(golden, "llama-plain"), folder, { recursive: true });
    const names = () => describeModel(folder).tensors.map(({ name }) => name);
    assertEquals(names().includes("lm_head.weight"), true);
    writeConfig(folder, "llama-plain", { tie_word_embeddings: true });
    assertEquals(names().includes("lm_head.weight"), false);
  });
});

test("types that are known but not offered are unsupported, by name", () => {
  withFolder((folder) => {
    writeConfig(folder, "bad/ok", {});
    // I16 has the size of BF16, so nothing else is wrong.
    writeHeader(folder, "bad/ok", (text) => text.replaceAll('"BF16"', '"I16"'));
    const error = assertThrows(() => describeModel(folder));
    assertInstanceOf(error, SpecacheError);
    assertEquals(error.code, "unsupported");
    assertStringIncludes(error.message, "I16");
  });
});

test("a folder in the place of a file, and a shard called .., are refused", () => {
  withFolder((folder) => {
    writeConfig(folder, "bad/ok", {});
    mkdirSync(join(folder, "model.safetensors"));
    assertStringIncludes(
      assertThrows(() => describeModel(folder), SpecacheError).message,
      "not a file",
    );
    const index = { weight_map: { [upProjection]: ".." } };
    writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
    assertStringIncludes(
      assertThrows(() => describeModel(folder), SpecacheError).message,
      "shard ..",
    );
  });
});

test("bos is added where tokenizer_config.json or the template of tokenizer.json says so", () => {
  withFolder((folder) => {
    cpSync(join(golden, "llama-plain"), folder, { recursive: true });
    assertEquals(describeModel(folder).addBos, false);
    const template = {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
    };
    const processors = [{ type: "ByteLevel" }, template];
    const tokenizer = { post_processor: { type: "Sequence", processors } };
    writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(tokenizer));
    assertEquals(describeModel(folder).addBos, true);
    writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify({ add_bos_token: false }));
    assertEquals(describeModel(folder).addBos, false);
  });
});

test("the older spelling of config.json describes the same model, for every golden model", () => {
  const refused = ["bad", "gguf", "mistral-sliding", "llama-dynamic-rope"];
  const names = readdirSync(golden).filter((name) =>
    !name.includes(".") && !refused.includes(name)
  );
  assertEquals(names.length, 12);
  for (const name of names) {
    withFolder((folder) => {
      cpSync(join(golden, name), folder, { recursive: true });
      cpSync(join(golden, name, "config-legacy.json"), join(folder, "config.json"));
      const comparable = (path: string) => {
        const { name: _, tensors, ...shape } = describeModel(path);
        return { shape, tensors: tensors.map(({ path: _, ...tensor }) => tensor) };
      };
      assertEquals(comparable(folder), comparable(join(golden, name)));
    });
  }
});
