// rope.test.ts - frequencies and magnitudes against the formulas of transformers 5.23 run in f64.
import { SpecacheError } from "../../engine/errors.ts";
import { ropeFrequencies } from "../../engine/model/rope.ts";
import {
  assertAlmostEquals,
  assertEquals,
  assertInstanceOf,
  assertStringIncludes,
  assertThrows,
  test,
} from "../harness.ts";

const headDim = 16;
const positions = 512;

// Scaling, magnitude, frequencies [headDim / 2].
const cases: Record<
  string,
  [Record<string, unknown> & { type: string; theta: number }, number, number[]]
> = {
  "yarn from 64 by 4": [
    { type: "yarn", theta: 1e4, factor: 4, original_max_position_embeddings: 64 },
    1.138629436111989,
    [
      1,
      0.23717082451262847,
      0.05,
      0.007905694150420948,
      0.0025,
      0.000790569415042095,
      0.00025,
      7.905694150420948e-5,
    ],
  ],
  "yarn with betas, not truncated": [
    {
      type: "yarn",
      theta: 1e6,
      factor: 4,
      beta_fast: 4,
      beta_slow: 2,
      truncate: false,
      original_max_position_embeddings: 4096,
    },
    1.138629436111989,
    [
      1,
      0.1778279410038923,
      0.03162277660168379,
      0.0050926993680566485,
      0.00025,
      4.445698525097307e-5,
      7.905694150420949e-6,
      1.4058533129758728e-6,
    ],
  ],
  "yarn with mscale and mscale_all_dim": [
    {
      type: "yarn",
      theta: 1e4,
      factor: 40,
      mscale: 0.707,
      mscale_all_dim: 1,
      original_max_position_embeddings: 64,
    },
    0.9210423553163399,
    [
      1,
      0.21345374206136564,
      0.035,
      0.000790569415042095,
      0.00025,
      7.905694150420948e-5,
      2.5e-5,
      7.905694150420947e-6,
    ],
  ],
  "yarn with attention_factor": [
    {
      type: "yarn",
      theta: 1e4,
      factor: 8,
      attention_factor: 0.9,
      original_max_position_embeddings: 64,
    },
    0.9,
    [
      1,
      0.2239946675952602,
      0.04166666666666667,
      0.003952847075210474,
      0.00125,
      0.0003952847075210475,
      0.000125,
      3.952847075210474e-5,
    ],
  ],
  "yarn whose factor is positions over original": [
    { type: "yarn", theta: 1e4, factor: null, original_max_position_embeddings: 64 },
    1.2079441541679836,
    [
      1,
      0.2239946675952602,
      0.04166666666666667,
      0.003952847075210474,
      0.00125,
      0.0003952847075210475,
      0.000125,
      3.952847075210474e-5,
    ],
  ],
  "yarn whose ramp has no length": [
    { type: "yarn", theta: 1e4, factor: 4, original_max_position_embeddings: 6 },
    1.138629436111989,
    [
      1,
      0.07905694150420949,
      0.025,
      0.007905694150420948,
      0.0025,
      0.000790569415042095,
      0.00025,
      7.905694150420948e-5,
    ],
  ],
  "llama3": [
    {
      type: "llama3",
      theta: 5e5,
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    },
    1,
    [
      1,
      0.19392274474868576,
      0.03760603093086393,
      0.0072926647372171085,
      0.0005248461609929547,
      3.428102195952591e-5,
      6.647869871181236e-6,
      1.2891731721515574e-6,
    ],
  ],
  "linear": [
    { type: "linear", theta: 1e4, factor: 2 },
    1,
    [
      0.5,
      0.15811388300841897,
      0.05,
      0.015811388300841896,
      0.005,
      0.00158113883008419,
      0.0005,
      0.00015811388300841897,
    ],
  ],
};

for (const [name, [scaling, magnitude, frequencies]] of Object.entries(cases)) {
  test(`ropeFrequencies() of ${name} is what transformers computes`, () => {
    const rope = ropeFrequencies("config.json", headDim, positions, scaling);
    assertAlmostEquals(rope.magnitude, magnitude, 1e-15);
    assertEquals(rope.frequencies.length, headDim / 2);
    // 1e-14: some ten roundings of f64, 1.1e-16 each.
    frequencies.forEach((f, i) => assertAlmostEquals(rope.frequencies[i] / f, 1, 1e-14));
  });
}

const refused: Record<string, [Record<string, unknown>, number, string, string]> = {
  "an unknown type": [{ type: "longrope" }, 16, "unsupported", "longrope"],
  "a part of the channels": [{ partial_rotary_factor: 0.5 }, 16, "unsupported", "0.5"],
  "an odd head size": [{}, 15, "file", "15"],
  "a head size that asks for all memory": [{}, 2 ** 31 - 2, "file", "2147483646"],
  "linear without factor": [{ type: "linear" }, 16, "file", "factor"],
  "a negative factor": [{ type: "linear", factor: -2 }, 16, "file", "factor -2"],
  "llama3 with equal bounds": [
    { type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 4 },
    16,
    "file",
    "high_freq_factor 4",
  ],
};

for (const [name, [fields, size, code, word]] of Object.entries(refused)) {
  test(`ropeFrequencies() refuses ${name}`, () => {
    const scaling = { type: "default", theta: 1e4, ...fields };
    const error = assertThrows(() => ropeFrequencies("config.json", size, positions, scaling));
    assertInstanceOf(error, SpecacheError);
    assertEquals(error.code, code);
    assertStringIncludes(error.message, word);
  });
}
