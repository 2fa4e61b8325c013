import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SpecacheError } from "../../engine/errors.ts";
import { reportHtml } from "../../eval/report.ts";
import { contrast, dark, inkOn, light } from "../../eval/report/palette.ts";
import { colorOf, decadesAround, FLOOR, lossScale, onLogAxis } from "../../eval/report/scale.ts";
import { massScale, shareScale } from "../../eval/report/scale.ts";
import { readReport } from "../../eval/report/schema.ts";
import type { EvalReport } from "../../eval/rows.ts";
import { assert, assertEquals, assertGreaterOrEqual, assertThrows, test } from "../harness.ts";
import { faultsOf, numbersIn, smallReport } from "./reports.ts";

const report = smallReport();
const page = reportHtml(report);

test("reportHtml() has every number of the report, exactly", () => {
  const shown = new Set([...page.matchAll(/<data value="([^"]*)">/g)].map(([, value]) => value));
  // The depth of a place is shown as a tenth of the text, the seed in the head of the page.
  const missing = numbersIn(report, ["depth", "seed"]).filter((value) => !shown.has(`${value}`));
  assertEquals(missing, []);
  assert(page.includes("Seed 3, 12 rows"));
});

test("reportHtml() pools documents by equal weight and names the front", () => {
  const [first, second] = report.rows.filter(({ mode, tokens }) =>
    mode === "paper" && tokens === 512
  );
  const rows = [{ ...first, n: 1, klMean: 1 }, { ...second, n: 3, klMean: 0.2 }];
  const pooled = reportHtml({ ...report, rows });
  assert(pooled.includes('<data value="0.4">')); // (1 * 1 + 3 * .2) / 4
  assert(pooled.includes("the line is the Pareto front: paper"));
});

test("reportHtml() puts a fact at the very end into the last tenth of the depths", () => {
  const place = { ...report.places[0], mode: "full", tokens: 512 };
  const depths = (depth: number) =>
    reportHtml({ ...report, places: [{ ...place, depth }] }).match(/<td>\d+–\d+ %<\/td>/g);
  assertEquals(depths(1), ["<td>90–100 %</td>"]);
  assertEquals(depths(0), ["<td>0–10 %</td>"]);
  assertEquals(depths(0.3), ["<td>30–40 %</td>"]);
});

test("reportHtml() is well-formed, loads nothing and runs nothing", () => {
  assertEquals(faultsOf(page), []);
  assertEquals(page.match(/<script|<link|<img|<iframe|\bsrc=|@import|url\(| on\w+=/g), null);
  const addresses = new Set(page.match(/\w+:\/\/[^"\s<]*/g));
  assertEquals([...addresses], ["http://www.w3.org/2000/svg"]); // a name, not a place
  assertEquals(page.match(/href="(?!#)/g), null);
});

test("reportHtml() names each plot for those who do not see it", () => {
  const plots = page.match(/<svg (?!viewBox="0 0 12 12")[^>]*>/g)!;
  assertGreaterOrEqual(plots.length, 20);
  const named = plots.filter((plot) => /role="img"/.test(plot) && /aria-label=".{20,}"/.test(plot));
  assertEquals(named.length, plots.length);
  const scrolling = page.match(/<div class="scroll"[^>]*>/g)!;
  assert(scrolling.every((region) => /tabindex="0" aria-label=".+"/.test(region)));
  const tables = page.match(/<table>/g)!;
  assertEquals(tables.length, scrolling.length);
});

test("reportHtml() gives equal bytes for equal reports", () => {
  assert(reportHtml(smallReport()) === page);
});

test("reportHtml() escapes names, in tables and in plots", () => {
  const bad = `<script>alert("&'")</script>{b}\u0000\ud800`;
  const rename = <T extends { mode: string }>(of: readonly T[]) =>
    of.map((one) => ({ ...one, mode: one.mode + bad, ...("task" in one ? { task: bad } : {}) }));
  const { rows, places, heads } = report;
  const renamed = reportHtml({
    ...{ ...report, model: bad, rows: rename(rows), places: rename(places) },
    heads: rename(heads),
  });
  assertEquals(faultsOf(renamed), []);
  assert(!renamed.includes("<script"));
  assert(!renamed.includes("\u0000"));
  assert(renamed.isWellFormed());
  assert(renamed.includes("{b}"));
});

test("reportHtml() says so where there are no places, heads or rows", () => {
  const none = reportHtml({ ...report, places: [], heads: [] });
  assertEquals(faultsOf(none), []);
  assert(none.includes("No task of this evaluation has a fact at a place."));
  assert(none.includes("No layer was measured by itself."));
  const empty = reportHtml({ model: "tiny", seed: 0, rows: [], places: [], heads: [] });
  assertEquals(faultsOf(empty), []);
  assert(!empty.includes("<figure"));
});

test("reportHtml() draws zero and null, and leaves out what is not finite", () => {
  const ends = { low: 0, high: 0 };
  const rows = report.rows.map((row, index) => ({
    ...{ ...row, klMean: [0, NaN, Infinity, -1e-9][index % 4], nearBytes: index % 3 },
    ...{ guessRight: null, recall: null, top1: NaN },
    intervals: { ...row.intervals, klMean: ends, recall: null },
  }));
  const heads = report.heads.map((head) => ({ ...head, mass: null, lostMass: 0, outputError: 0 }));
  const places = report.places.map((place) => ({ ...place, klMean: 0 }));
  const odd = reportHtml({ ...report, rows, heads, places });
  assertEquals(faultsOf(odd), []);
  assertEquals(odd.match(/NaN|Infinity|undefined/g), null);
  assert(odd.includes("No mode has codes."));
});

test("logarithmic axes draw what is below the floor at the floor", () => {
  assertEquals([0, -1, FLOOR / 2, FLOOR, 0.5].map(onLogAxis), [FLOOR, FLOOR, FLOOR, FLOOR, 0.5]);
  assertEquals(decadesAround([0, 0.02]), { low: -6, high: -1 });
  assertEquals(decadesAround([1e-3]), { low: -3, high: -2 });
  assertEquals(decadesAround([NaN, Infinity]), { low: -6, high: 0 });
});

test("scales give more colour to more, and the ends of the ramp to the ends", () => {
  for (const most of [1e-5, 0.01, 1, 1e9]) {
    const scale = lossScale([0, most]);
    const values = [0, ...scale.borders, most];
    const colors = values.map((value) => colorOf(scale, value));
    assertEquals(colors, colors.toSorted((a, b) => a - b));
    assertEquals(colors[0], scale.borders.length === 0 ? 7 : 0);
    assertEquals(scale.labels.length, scale.borders.length + 1);
    assertEquals(colorOf(scale, most), 7);
  }
  assertEquals([0, 0.2, 0.99, 1].map((share) => colorOf(shareScale(), share)), [0, 0, 6, 7]);
  assertEquals([0, 0.999, 1].map((share) => colorOf(massScale(), share)), [0, 6, 7]);
});

test("texts stand out at 4.5 : 1 and marks at 3 : 1, in light and in dark", () => {
  for (const scheme of [light, dark]) {
    const { ground, head, ink, quiet, link, mode, loss, good } = scheme;
    const texts = [[ink, ground], [ink, head], [quiet, ground], [link, ground]];
    texts.push(...[...loss, ...good].map((step) => [inkOn(step, scheme), step]));
    assertEquals(texts.filter(([text, on]) => contrast(text, on) < 4.5), []);
    assertEquals(mode.filter((color) => contrast(color, ground) < 3), []);
  }
});

test("readReport() takes what eval writes, and names what is wrong", () => {
  const folder = mkdtempSync(join(tmpdir(), "report-"));
  try {
    const path = join(folder, "report.json");
    const read = (content: string) => {
      writeFileSync(path, content);
      return readReport(path);
    };
    assertEquals(read(JSON.stringify(report)), report as EvalReport);
    const refuses = (content: string, code: string, sentence: RegExp) => {
      const error = assertThrows(() => read(content), SpecacheError);
      assertEquals(error.code, code);
      assert(sentence.test(error.message), error.message);
    };
    refuses("{", "file", /^Cannot read .*report\.json: /);
    const rows = [{ ...report.rows[0], klMean: null }];
    refuses(JSON.stringify({ ...report, rows }), "argument", /rows\[0\]\.klMean null is not a num/);
    assertThrows(() => readReport(undefined), SpecacheError, "FILE.json is missing");
    assertThrows(() => readReport(join(folder, "none")), SpecacheError, "Cannot read");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the plotting library is not loaded with mod.ts or the command line", () => {
  const files = ["mod.ts", "main.ts"];
  for (const file of files) { // grows while it is read
    const text = readFileSync(file, "utf8");
    const names = [...text.matchAll(/(?:from|^import) "([^"]+)"/gm)].map(([, name]) => name);
    assertEquals(names.filter((name) => name.startsWith("echarts")), [], file);
    const near = names.filter((name) => name.startsWith(".")).map((name) => join(file, "..", name));
    files.push(...new Set(near.filter((name) => !files.includes(name))));
  }
  assertGreaterOrEqual(files.length, 30);
  assert(files.includes(join("cli", "eval.ts")));
});
