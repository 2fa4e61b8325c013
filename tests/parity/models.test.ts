// Every model of tests/golden in mode full with KV type f32, on every instruction set of this
// machine: logits within the derived tolerance of a float64 reference, and the same greedy text.

import process from "node:process";
import type { Isa } from "../../engine/config.ts";
import { openLibrary } from "../../ffi/library.ts";
import { errorOf } from "../engine/support.ts";
import { assertEquals, assertStringIncludes, test } from "../harness.ts";
import { goldenModel, goldenNames } from "./golden.ts";
import { assertLogits, greedyText, openFull } from "./run.ts";

// specache_isa() counts from 2.
const isas: readonly Isa[] = ["portable", "avx2", "avx512", "neon", "amx"];
const { SPECACHE_ISA } = process.env;
const tested = SPECACHE_ISA ? [SPECACHE_ISA as Isa] : isas;
const TOKENS_MAX = 512; // positions of every golden model

function best(): Isa {
  using library = openLibrary();
  return isas[library.symbols.specache_isa() - 2];
}

// On x86-64 each contains those before it.
function has(isa: Isa): boolean {
  if (best() === "neon") return isa === "portable" || isa === "neon";
  if (isa === "neon") return false;
  return isas.indexOf(isa) <= isas.indexOf(best());
}

// A machine that lacks an instruction set shows that it says so, and nothing else of it.
function testRefusal(isa: Isa): void {
  test(`${isa}, which this machine lacks, is refused by its name and the best one's`, async () => {
    const { path } = goldenModel(goldenNames[0]);
    const error = await errorOf(() => openFull(path, TOKENS_MAX, isa));
    assertEquals(error.code, "device");
    assertStringIncludes(error.message, `this CPU has no ${isa}, its best is ${best()}`);
  });
}

for (const isa of tested) {
  if (!has(isa)) {
    testRefusal(isa);
    continue;
  }
  for (const name of goldenNames) {
    test(`${name} in mode full gives the reference's logits and text on ${isa}`, () => {
      const { path, prompts } = goldenModel(name);
      const store = openFull(path, TOKENS_MAX, isa);
      try {
        for (const prompt of prompts) {
          assertLogits(store, prompt);
          const text = greedyText(store, prompt.ids, prompt.greedy.length);
          assertEquals(text, [...prompt.greedy]);
        }
      } finally {
        store.close();
      }
    });
  }
}
