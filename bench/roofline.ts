// roofline.ts - the modelled time of a decode step against length and batch, dense and ours, from
// counted bytes and instructions and published figures of machines. Nothing is measured. It prints
// tables; --json: as JSON; --write: docs/ROOFLINE.md and docs/roofline.svg.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { SpecacheError } from "../engine/errors.ts";
import { table } from "../eval/table.ts";
import { Table } from "../tools/budgets/table.ts";
import { instructionsOf, page } from "./roofline/page.ts";
import { rooflinePlot } from "./roofline/plot.ts";
import { modelTables } from "./roofline/tables.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

function main(args: readonly string[]): void {
  const unknown = args.find((arg) => arg !== "--json" && arg !== "--write");
  if (unknown !== undefined) {
    throw new SpecacheError("argument", `Cannot model: option ${unknown} is not known`);
  }
  const budgets = Table.parse(
    JSON.parse(readFileSync(join(root, "cuda", "budgets.json"), "utf8")),
  );
  const instructions = instructionsOf(budgets.hot);
  const tables = modelTables(instructions);
  if (args.includes("--write")) {
    writeFileSync(join(root, "docs", "ROOFLINE.md"), page(tables));
    writeFileSync(join(root, "docs", "roofline.svg"), rooflinePlot(instructions));
  }
  if (args.includes("--json")) {
    console.log(JSON.stringify({ modelled: true, instructions, tables }, null, 1));
    return;
  }
  for (const { title, notes, head, rows } of tables) {
    console.log([`\n${title}`, ...notes, table([head, ...rows])].join("\n"));
  }
}

if (import.meta.main) {
  try {
    main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
