// A whole evaluation on the needle model: what modes are fed, what goes on where a run was stopped.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeModel } from "../../engine/model/describe.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { type EvalOptions, evaluate } from "../../eval/evaluate.ts";
import { readModes } from "../../eval/modes.ts";
import { type OpenMode, openMode } from "../../eval/run.ts";
import { needleModel } from "../../eval/source.ts";
import { normaliser } from "../../eval/statistics.ts";
import { command, jsonOf } from "../cli/command.ts";
import { withFolder } from "../engine/support.ts";
import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertRejects,
  assertThrows,
  test,
} from "../harness.ts";

const silent = () => {};
const asked: EvalOptions = {
  ...{ model: needleModel, tasks: ["needle", "text"], tokens: [400], samples: 2, seed: 3 },
  ...{ modes: "full,paper,specache", threads: 1, far: "ram", steps: 12, profile: "none" },
};

test("full does not differ from itself, paper more than specache; recall is paired", async () => {
  const { rows, places } = await evaluate(asked, silent, silent);
  assertEquals(rows.map(({ task, mode, n }) => `${task} ${mode} ${n}`), [
    ...["needle full 2", "needle paper 2", "needle specache 2"],
    ...["text full 2", "text paper 2", "text specache 2"],
  ]);
  for (const row of rows) {
    if (row.mode === "full") assertEquals([row.klMax, row.top1], [0, 1]);
    else assertGreater(row.klMax, 0);
    assertEquals(
      [row.recall === null, row.recallLost === null],
      Array(2).fill(row.task === "text"),
    );
    assert(row.intervals.klMean.low <= row.klMean && row.klMean <= row.intervals.klMean.high);
  }
  assertLess(rows[5].klMean, rows[4].klMean);
  assertEquals(rows[0].recallLost, 0);
  assertEquals(places.length, 6); // each needle in each mode
});

test("few steps do not cut the answer that full is judged by", async () => {
  const short = { ...asked, tasks: ["needle"], modes: "full", samples: 1, steps: 2 };
  const { rows: [row] } = await evaluate(short, silent, silent);
  assertEquals([row.recall, row.recallLost], [1, 0]);
});

test("a mode may have a profile of its own", () =>
  withFolder(async (folder) => {
    const path = join(folder, "profile.safetensors");
    const made = ["profile", "--model", needleModel, "--tokens", "256", "--output", path];
    assertEquals((await command(made)).status, 0);
    const modes = `specache,specache[profile=${path}]`;
    const { rows } = await evaluate({ ...asked, modes, tasks: ["text"] }, silent, silent);
    assertLess(rows[1].ratio, rows[0].ratio); // a quarter of a bit a value, not 1
    const broken = { ...asked, modes: `specache[profile=${folder}/none]` };
    await assertRejects(() => evaluate(broken, silent, silent), SpecacheError, "none");
  }));

test("with k of all tokens a mode is full but for the order of sums", async () => {
  const modes = "specache[k=1000,kvType=f32],full[kvType=f32]";
  const { rows } = await evaluate({ ...asked, modes, tasks: ["text"] }, silent, silent);
  // The prompt's rows are those of full's bf16 store either way. What differs is the rounding of
  // decoded rows to bf16, 2^-9 of a row: a logit's error d gives KL of about d^2 / 2.
  assertLess(rows[0].klMax, 1e-3);
});

test("a mode is fed full's tokens: a store that steps them by hand gives its figures", () =>
  withFolder(async (folder) => {
    const [resume, documents] = [join(folder, "resume"), join(folder, "documents")];
    const mode = "specache[k=2,keyBits=1,valueBits=1]"; // errs enough to go another way by itself
    const options = { ...asked, modes: mode, tasks: ["text"], samples: 1, steps: 40 };
    await evaluate({ ...options, resume, documents }, silent, silent);
    const { surprise, kl, agreed } = JSON.parse(readFileSync(resume, "utf8"));
    const { ids, target } = JSON.parse(readFileSync(documents, "utf8"));
    const description = describeModel(needleModel);
    const how = { description, profile: null, tokens: 400, threads: 1, far: () => null };
    const { store } = openMode(readModes(mode)[0], how);
    const sequence = store.openSequence();
    store.prefill(sequence, ids, null);
    const logits = new Float32Array(store.vocabulary);
    let [sum, own] = [0, 0];
    for (let step = 0; step + 1 < target.length; step++) {
      store.step(sequence, [target[step]], 1, { k: 2, late: "all" }, logits);
      store.keep(sequence, 1);
      sum += normaliser(logits) - logits[target[step + 1]];
      if (logits.indexOf(Math.max(...logits)) === target[step + 1]) own++;
    }
    store.close();
    assertEquals([surprise, kl.length, agreed], [sum, target.length - 1, own]);
    assertLess(own, target.length - 1); // where it would have gone another way
  }));

// The rows of a prompt that another store reads are, bit for bit, those that it reads itself.
test("a mode's store sees copied rows as it sees its own prefill", () => {
  const description = describeModel(needleModel);
  const ids = Array.from({ length: 300 }, (_, at) => at * 7 % 1000);
  const how = { description, profile: null, tokens: 300, threads: 1, far: () => null };
  const open: OpenMode[] = readModes("full,specache[k=16]").map((mode) => openMode(mode, how));
  const [full, coded] = open.map(({ store }) => store);
  try {
    const source = full.openSequence();
    full.prefill(source, ids, null);
    const logits = ["copied", "read"].map((how) => {
      const sequence = coded.openSequence();
      if (how === "read") coded.prefill(sequence, ids, null);
      for (let layer = 0; how === "copied" && layer < description.layers; layer++) {
        const { keys, values } = full.rows(source, layer, ids.length, description);
        coded.append(sequence, layer, ids.length, keys, values);
      }
      const logits = new Float32Array(coded.vocabulary);
      coded.step(sequence, [5], 1, { k: 16, late: "all" }, logits);
      coded.closeSequence(sequence);
      return logits;
    });
    assertEquals(logits[0], logits[1]);
  } finally {
    for (const { store } of open) store.close();
  }
});

test("a run goes on where one was stopped, within a line too, and shards make the whole", () =>
  withFolder(async (folder) => {
    const whole = await evaluate(asked, silent, silent);
    const resume = join(folder, "a", "resume");
    await evaluate({ ...asked, resume, shard: { index: 0, of: 2 } }, silent, silent);
    const half = readFileSync(resume, "utf8");
    assertEquals(half.trim().split("\n").length, 2 * 3); // half of the documents, three modes
    writeFileSync(resume, half.slice(0, -40)); // its last document is not whole
    let first = -1;
    const report = await evaluate({ ...asked, resume }, silent, (done) => {
      if (first === -1) first = done;
    });
    assertEquals(first, 1);
    assertEquals(report, whole);
    let left = 0; // the cut line cost its document, once
    const again = await evaluate({ ...asked, resume }, silent, (done, of) => left += of - done);
    assertEquals([again, left], [whole, 0]);
    const other = { ...asked, resume, steps: 11 };
    await assertRejects(
      () => evaluate(other, silent, silent),
      SpecacheError,
      `Cannot go on with ${resume}: it holds results of another model or of other options`,
    );
  }));

test("what cannot be written or read is refused before any document runs", () =>
  withFolder(async (folder) => {
    const refused = (options: Partial<EvalOptions>, fault: string) =>
      assertRejects(
        () => evaluate({ ...asked, ...options }, silent, (done) => assertEquals(done, -1)),
        SpecacheError,
        fault,
      );
    writeFileSync(join(folder, "file"), "");
    await refused({ resume: join(folder, "file", "below") }, "Cannot write ");
    await refused({ documents: join(folder, "file", "below") }, "Cannot write ");
    await refused({ resume: folder }, `Cannot read ${folder}: `);
    const ask = ["eval", "--model", needleModel, "--tokens", "300", "--resume", "none"];
    for (const flag of ["--output", "--report"]) {
      const { status, stderr } = await command([...ask, flag, join(folder, "file", "below")]);
      assertEquals([status, stderr.startsWith("Cannot write ")], [2, true]);
    }
  }));

test("documents are written with their ids and with the tokens that full gave", () =>
  withFolder(async (folder) => {
    const documents = join(folder, "documents");
    await evaluate({ ...asked, documents }, silent, silent);
    const lines = readFileSync(documents, "utf8").trim().split("\n").map((line) =>
      JSON.parse(line)
    );
    assertEquals(lines.length, 4);
    for (const { ids, target } of lines) {
      assertEquals(ids.length, 400);
      assert(target.length > 0 && target.length <= 13);
    }
  }));

test("far memory in a file gives the figures of RAM, but for rows and bytes", async () => {
  const modes = "specache[k=32]";
  const [ram, file] = await Promise.all(
    (["ram", "file"] as const).map((far) =>
      evaluate({ ...asked, modes, far, samples: 1 }, silent, silent)
    ),
  );
  assertEquals(file.rows.map(({ klMean }) => klMean), ram.rows.map(({ klMean }) => klMean));
  assertEquals(ram.rows.map(({ prefetchedRows }) => prefetchedRows), [0, 0]);
  assert(
    file.rows.every(({ prefetchedRows, guessRight }) => prefetchedRows > 0 && guessRight !== null),
  );
});

test("modes are read with their options, and refused in a sentence", () => {
  const [first, second] = readModes("specache[k=64,keyBits=1,late=0.01,guesses=0],paper");
  assertEquals(first.cache, { mode: "specache", k: 64, keyBits: 1 });
  assertEquals(first.request, { late: { above: 0.01 }, guesses: 0 });
  assertEquals([second.name, second.cache.mode], ["paper", "paper"]);
  for (
    const [list, fault] of [
      ["", "is not a list of modes"],
      ["full,,paper", "is not a list of modes"],
      ["specache[k=64", "is not a list of modes"],
      ["fast", "fast is none of full, paper, specache, compact"],
      ["specache[k]", "k is not option=value"],
      ["specache[keyBits=3]", "keyBits 3 is none of 1, 2"],
      ["specache[speed=9]", "speed"],
    ]
  ) assertThrows(() => readModes(list), SpecacheError, fault);
});

test("tasks and lengths that cannot be are refused before a model is opened", async () => {
  const refused = (options: Partial<EvalOptions>, fault: string) =>
    assertRejects(() => evaluate({ ...asked, ...options }, silent, silent), SpecacheError, fault);
  await refused({ tasks: ["tracking"] }, "tasks tracking is none of needle, multikey, text, code");
  await refused({ modes: "nonsense" }, "nonsense is none of full, paper, specache, compact");
  const long = "tokens 16305 and 80 steps are above the model's 16384 positions";
  await refused({ tokens: [400, 16_305] }, long);
});

test("specache eval prints rows as JSON, and a table", async () => {
  const flags = ["--tasks", "needle", "--tokens", "300", "--samples", "1", "--steps", "4"];
  const ask = ["eval", "--model", needleModel, ...flags, "--profile", "none", "--resume", "none"];
  const { rows } = await jsonOf([...ask, "--modes", "full,specache", "--json"]);
  assertEquals(rows.map(({ mode }: { mode: string }) => mode), ["full", "specache"]);
  await withFolder(async (folder) => {
    const page = join(folder, "page.html");
    const { status, stdout } = await command([...ask, "--modes", "full", "--report", page]);
    assertEquals([status, stdout.split("\n").length], [0, 4]);
    assert(readFileSync(page, "utf8").startsWith("<!DOCTYPE html>"));
  });
  assertEquals((await command([...ask, "--shard", "2/2"])).status, 2);
});
