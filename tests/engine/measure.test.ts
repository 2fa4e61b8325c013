// Profiles that are measured: deterministic, better than Hadamard planes at equal bits, kept and
// found again.
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { command, jsonOf } from "../cli/command.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { describeModel } from "../../engine/model/describe.ts";
import { readProfile } from "../../engine/profile.ts";
import { profileFor, profileIds } from "../../engine/profile_auto.ts";
import { centred, keyBitsOf, measureProfile } from "../../engine/profile_measure.ts";
import { modelHash, writeProfileFile } from "../../engine/profile_store.ts";
import { valueCode } from "../../engine/profile_values.ts";
import { needleModel } from "../../eval/source.ts";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertLess,
  assertMatch,
  test,
} from "../harness.ts";
import { randomNumbers } from "./kv.ts";
import { withFolder } from "./support.ts";

const TOKENS = 384; // six pages: enough to be right about shapes, quick
const needle = describeModel(needleModel);
const ids = profileIds(needleModel, needle)!.slice(0, TOKENS);

function measured(threads: number) {
  return measureProfile({ description: needle, ids, threads })!;
}

test("a measured profile has the same bytes on any number of threads, and is a good one", () =>
  withFolder((folder) => {
    const paths = [1, 2].map((threads) => {
      const path = join(folder, `${threads}`);
      writeProfileFile(path, measured(threads), needle, {});
      return path;
    });
    assertEquals(readFileSync(paths[0]), readFileSync(paths[1]));
    const { keyBits, valuePlanes, planeWeight } = readProfile(paths[0], needle);
    assertEquals(valuePlanes, needle.headDim / 4);
    assertEquals(keyBits!.filter((bits) => bits === 2).length, 1); // a tenth of 8, rounded up
    assert(planeWeight!.every((weight) => weight > 0));
  }));

test("keys get 2 bits where they stray most, in a tenth of the heads rounded up", () => {
  const stray = Float64Array.from({ length: 21 }, (_, head) => (head * 8) % 21);
  const bits = keyBitsOf(stray);
  const two = Array.from(stray).filter((_, head) => bits[head] === 2);
  assertEquals(two.sort((a, b) => a - b), [18, 19, 20]);
});

test("rows lose their own page's mean, and sinks are in no mean", () => {
  const shape = { layers: 1, kvHeads: 2, queryHeads: 2, headDim: 2 };
  const tokens = 150; // pages of 60, 64 and 22 tokens behind the sinks
  const rows = new Float32Array(tokens * 4);
  for (let token = 0; token < tokens; token++) {
    const sign = token % 2 === 0 ? 1 : -1; // each page has as many of both
    const page = token < 4 ? 1000 : Math.floor(token / 64) * 10;
    rows.set([page + sign, page - sign, 7, 7], token * 4);
  }
  const out = centred(rows, 0, tokens, shape);
  assertEquals(out.length, (tokens - 4) * 2);
  out.forEach((x, at) => {
    const sign = Math.floor(at / 2) % 2 === 0 ? 1 : -1;
    assertAlmostEquals(x, at % 2 === 0 ? sign : -sign, 1e-12);
  });
  assert(centred(rows, 1, tokens, shape).every((x) => Math.abs(x) < 1e-12));
});

// Values that move along few directions: what a head's own basis is for.
function correlated(dim: number, tokens: number): Float64Array[] {
  const turn = Array.from({ length: dim }, (_, i) => randomNumbers(dim, i));
  const noise = randomNumbers(dim * tokens, 99);
  return Array.from({ length: tokens }, (_, token) => {
    const row = new Float64Array(dim);
    for (let source = 0; source < dim; source++) {
      const x = noise[token * dim + source] * 2 ** -source;
      for (let i = 0; i < dim; i++) row[i] += x * turn[source][i];
    }
    return row;
  });
}

function covariance(rows: readonly Float64Array[], dim: number): Float64Array {
  const sums = new Float64Array(dim * dim);
  for (const row of rows) {
    for (let at = 0; at < dim * dim; at++) {
      sums[at] += row[Math.floor(at / dim)] * row[at % dim] / rows.length;
    }
  }
  return sums;
}

test("a value's basis is orthonormal, diagonalises the covariance, and planes follow it", () => {
  const dim = 16;
  const matrix = covariance(correlated(dim, 500), dim);
  const { basis, channel, weight, explained } = valueCode(matrix, dim, 4);
  const variances: number[] = [];
  for (let a = 0; a < dim; a++) {
    for (let b = 0; b < dim; b++) {
      let dot = 0, between = 0;
      for (let i = 0; i < dim; i++) {
        dot += basis[a * dim + i] * basis[b * dim + i];
        for (let j = 0; j < dim; j++) {
          between += basis[a * dim + i] * matrix[i * dim + j] * basis[b * dim + j];
        }
      }
      assertAlmostEquals(dot, a === b ? 1 : 0, 1e-6);
      if (a === b) variances.push(between);
      else assertAlmostEquals(between, 0, 1e-5 * variances[0]);
    }
  }
  variances.slice(1).forEach((variance, i) => assert(variance <= variances[i] * (1 + 1e-6)));
  assertEquals(channel.length, 4);
  assertEquals(weight.length, 4);
  assertGreater(explained, 0.6); // the first direction alone has three quarters of the variance
  // One plane alone is worth sigma * 1.596 / 2; of several, each is half the one before it.
  channel.forEach((row, plane) => {
    if (channel[plane + 1] === row) assertAlmostEquals(weight[plane + 1], weight[plane] / 2, 1e-6);
    const planes = channel.filter((other) => other === row).length;
    if (planes === 1) {
      assertAlmostEquals(weight[plane], Math.sqrt(variances[row]) * 0.798, 1e-5);
    }
  });
});

test("a covariance of zeros still gives a profile that is read", () => {
  const { weight, explained } = valueCode(new Float64Array(64), 8, 2);
  assertEquals(explained, 0);
  assert(weight.every((each) => each > 0 && each < Infinity));
});

test("measuring gives up where the first tokens show that it takes too long", () => {
  const told: number[] = [];
  const progress = (done: number) => told.push(done);
  assertEquals(
    measureProfile({ description: needle, ids, threads: 1, limitMs: 0, progress }),
    null,
  );
  assertEquals(told, [64]);
});

test("auto measures once and keeps it; a broken file is measured again; none asks nothing", () =>
  withFolder(async (folder) => {
    const home = process.env.SPECACHE_HOME;
    process.env.SPECACHE_HOME = folder;
    try {
      const said: string[] = [];
      let measurements = 0;
      const wish = (profile?: string, useful = true) =>
        profileFor({
          ...{ model: needleModel, description: needle, profile, useful },
          notice: (sentence) => said.push(sentence),
          measure: () => {
            measurements++;
            return Promise.resolve(measured(2));
          },
        });
      assertEquals([await wish("none"), await wish("auto", false), measurements], [null, null, 0]);
      const first = await wish();
      assertEquals(said, ["Measuring a profile of the model (once; some seconds)"]);
      assertEquals((await wish("auto"))!.valueBasis, first!.valueBasis);
      assertEquals(measurements, 1);
      const path = join(folder, "profiles", `${modelHash(needle).slice(0, 32)}.v1.safetensors`);
      assert(existsSync(path));
      writeFileSync(path, "broken");
      await wish();
      assertEquals(measurements, 2);
      assertEquals(readProfile(path, needle).keyBits, first!.keyBits);
    } finally {
      if (home === undefined) delete process.env.SPECACHE_HOME;
      else process.env.SPECACHE_HOME = home;
    }
  }));

test("a measurement that fails leaves an engine without a profile, and says so", async () => {
  const said: string[] = [];
  const home = process.env.SPECACHE_HOME;
  await withFolder(async (folder) => {
    process.env.SPECACHE_HOME = folder;
    const profile = await profileFor({
      ...{ model: needleModel, description: needle, profile: undefined, useful: true },
      notice: (sentence) => said.push(sentence),
      measure: () => Promise.reject(new SpecacheError("memory", "Cannot measure: no memory")),
    });
    assertEquals(profile, null);
  });
  if (home === undefined) delete process.env.SPECACHE_HOME;
  else process.env.SPECACHE_HOME = home;
  assert(said[1].startsWith("No profile: Cannot measure: no memory; "));
});

test("a model's hash is that of its weights, not of its path", () => {
  assertEquals(modelHash(describeModel(needleModel)), modelHash(needle));
  const [first, ...others] = needle.tensors;
  const moved = { ...first, offset: first.offset + 2 };
  assert(modelHash({ ...needle, tensors: [moved, ...others] }) !== modelHash(needle));
});

test("specache profile prints each head, and what it wrote is used", () =>
  withFolder(async (folder) => {
    const path = join(folder, "profile");
    const flags = ["--tokens", `${TOKENS}`, "--output", path, "--threads", "1"];
    const asked = ["profile", "--model", needleModel, ...flags];
    const { status, stdout } = await command(asked);
    assertEquals(status, 0);
    assertEquals(stdout.trim().split("\n").length, 2 + needle.layers * needle.kvHeads);
    const { stderr, status: second } = await command(asked);
    assertEquals(second, 2);
    assertMatch(stderr, /exists/);
    rmSync(path);
    const { keyBits, tokens } = await jsonOf([...asked, "--json"]);
    assertEquals([keyBits.length, tokens], [needle.layers * needle.kvHeads, TOKENS]);
    const ask = ["generate", "--model", needleModel, "--prompt", "The code", "--max-tokens", "1"];
    const profile = ["--profile", path, "--context", "1024", "--setting"];
    const ratios = [];
    for (const setting of ["default", "compact"]) {
      const planned = await jsonOf(
        ["plan", "--model", needleModel, "--tokens", "1024", ...profile.slice(0, 2)].concat([
          "--setting",
          setting,
        ]),
      );
      ratios.push(planned.cache.ratio);
      assertEquals((await command([...ask, ...profile, setting])).status, 0);
    }
    assertLess(ratios[1], ratios[0]);
  }));
