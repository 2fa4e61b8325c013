// report.ts - the HTML report of an evaluation: tables and plots in one file. It loads the
// plotting library, so commands import it only where a report is asked for.
//   deno run -A eval/report.ts FILE.json > report.html
//   const { reportHtml } = await import("../eval/report.ts"); // in a command
import process from "node:process";
import { SpecacheError } from "../engine/errors.ts";
import { depthSection } from "./report/depth.ts";
import { frontSection } from "./report/front.ts";
import { headSection } from "./report/heads.ts";
import { modeLooks } from "./report/modes.ts";
import { powerOfTen } from "./report/numbers.ts";
import { page, type Section } from "./report/page.ts";
import { FLOOR } from "./report/scale.ts";
import { readReport } from "./report/schema.ts";
import { summaryTable } from "./report/tables.ts";
import { guessSection, taskSection } from "./report/tasks.ts";
import type { EvalReport } from "./rows.ts";

/**
 * The report as one HTML file: no script, nothing loaded from elsewhere, light and dark. Equal
 * reports give equal bytes.
 */
export function reportHtml(report: EvalReport): string {
  const { model, seed, rows } = report;
  const documents = rows.reduce((sum, { n }) => sum + n, 0);
  const facts = `Seed ${seed}, ${rows.length} rows of ${documents} results. ` +
    "Divergence is KL(full || mode) of the next token's distribution in nats, each mode fed the " +
    "tokens that full had chosen. Intervals hold 95\u00a0%.";
  return page(`Evaluation of ${model}`, facts, sectionsOf(report));
}

function sectionsOf(report: EvalReport): Section[] {
  const looks = modeLooks(report);
  const floorText = powerOfTen(Math.log10(FLOOR));
  const floor = `Logarithmic axes draw what is below ${floorText}, zero included, there.`;
  return [
    {
      ...{ id: "summary", title: "Summary" },
      about: "Recall is the share of answers that came back, divergence its mean over steps, " +
        "top-1 the share of steps whose most probable token is full's, near the near bytes over " +
        "full's. Below each the ends of its interval.",
      content: summaryTable(report),
    },
    {
      ...{ id: "bytes", title: "Divergence against near bytes" },
      about: "All tasks pooled, each document with equal weight. Less of both is better: no mode " +
        `is better in both than those on the dashed line, the Pareto front. ${floor}`,
      content: frontSection(report, looks),
    },
    {
      ...{ id: "tasks", title: "By task" },
      about: "Points with their intervals; the numbers are in the summary. Modes that differ " +
        `nowhere from full are left out of the divergence. ${floor}`,
      content: taskSection(report, looks),
    },
    {
      ...{ id: "depth", title: "By depth and length" },
      about:
        "Depth is the place of the asked fact: 0 % the beginning of the text, 100 % its end. " +
        "All tasks with such a fact are pooled. Cells without documents stay empty.",
      content: depthSection(report),
    },
    {
      ...{ id: "heads", title: "By layer and head" },
      about: "Means over all documents.",
      content: headSection(report),
    },
    {
      ...{ id: "guesses", title: "Guesses and rows" },
      about: "Prefetched rows were fetched for a guess, before the step that used them began; " +
        "late rows were chosen by the step's own input and lay in no slot. Guesses by source are " +
        "in the table of all numbers.",
      content: guessSection(report, looks),
    },
  ];
}

function main([path]: readonly string[]): void {
  try {
    process.stdout.write(reportHtml(readReport(path)));
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
  }
}

if (import.meta.main) main(process.argv.slice(2));
