// budgets.ts - compiles every CUDA kernel of the product for three targets and checks what each
// takes (registers, spills, shared memory, warps that fit, instructions) against stated limits and
// the committed table. No GPU is needed. --write: rewrites the table and its page; --target N: that
// target alone.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { SpecacheError } from "../engine/errors.ts";
import { compileAll } from "./budgets/compile.ts";
import { hotLoops, prefillLoops } from "./budgets/hot.ts";
import { measure } from "./budgets/measure.ts";
import { targets } from "./budgets/occupancy.ts";
import { againstTable, overLimits, type Row, rowOf, Table, tablePage } from "./budgets/table.ts";
import { fetchNvcc } from "../ffi/toolchain.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const tablePath = join(root, "cuda", "budgets.json");
const pagePath = join(root, "docs", "BUDGETS.md");

interface Options {
  readonly write: boolean;
  readonly targets: readonly number[];
}

function readOptions(args: readonly string[]): Options {
  const at = args.indexOf("--target");
  const target = at < 0 ? null : Number(args[at + 1]);
  const rest = args.filter((_, i) => at < 0 || (i !== at && i !== at + 1));
  const unknown = rest.find((arg) => arg !== "--write");
  if (unknown !== undefined) {
    throw new SpecacheError("argument", `Cannot check budgets: option ${unknown} is not known`);
  }
  if (target !== null && !targets.includes(target)) {
    throw new SpecacheError(
      "argument",
      `Cannot check budgets: target ${args[at + 1]} is none of ${targets.join(", ")}`,
    );
  }
  const write = args.includes("--write");
  if (write && target !== null) {
    throw new SpecacheError("argument", "Cannot write the table of one target: leave --target out");
  }
  return { write, targets: target === null ? targets : [target] };
}

function readTable(): Table {
  try {
    return Table.parse(JSON.parse(readFileSync(tablePath, "utf8")));
  } catch (cause) {
    throw new SpecacheError(
      "file",
      `Cannot read ${tablePath}: deno task budgets --write makes it`,
      { cause },
    );
  }
}

/** Prints the kernels and what is amiss; whether nothing is. */
async function checkBudgets(options: Options): Promise<boolean> {
  const nvcc = await fetchNvcc();
  const version = execFileSync(nvcc, ["--version"], { encoding: "utf8" });
  const release = version.match(/\bV(\d+\.\d+\.\d+)/)?.[1] ?? "unknown";
  const measured = measure(await compileAll(nvcc, options.targets));
  const rows = measured.map(rowOf);
  for (const row of rows) console.log(rowText(row));
  if (options.write) {
    const hot = hotLoops(measured);
    const table = { nvcc: release, kernels: rows, hot, prefill: prefillLoops(measured) };
    writeFileSync(tablePath, tableText(table));
    writeFileSync(pagePath, tablePage(table));
    console.log("docs/ROOFLINE.md follows from it: deno task roofline --write");
  }
  const table = readTable();
  if (table.nvcc !== release) {
    console.log(
      `instructions are not compared: the table is of nvcc ${table.nvcc}, this is ${release}`,
    );
  }
  const found = [...overLimits(rows), ...againstTable(rows, table, release)];
  for (const sentence of found) console.error(sentence);
  console.log(`${rows.length} kernels and targets, ${found.length} against limits or table`);
  if (found.length > 0) {
    console.log("limits: tools/budgets/limits.ts; the table: deno task budgets --write");
  }
  return found.length === 0;
}

function rowText(row: Row): string {
  const { registers, spillBytes, sharedBytes, instructions, warps, warpShare, limitedBy } = row;
  return `sm_${row.target} ${row.kernel}: ${registers} registers, ${spillBytes} B spilled, ` +
    `${sharedBytes} B shared, ${instructions} instructions, ${warps} warps ` +
    `(${Math.round(warpShare * 100)} %, ${limitedBy})`;
}

// A kernel a line, so that a change of one is one line's change.
function tableText({ nvcc, kernels, hot, prefill }: Table): string {
  const lines = (rows: readonly object[]) => rows.map((row) => `    ${JSON.stringify(row)}`);
  return `{\n  "nvcc": ${JSON.stringify(nvcc)},\n  "kernels": [\n${lines(kernels).join(",\n")}\n` +
    `  ],\n  "hot": [\n${lines(hot).join(",\n")}\n  ],\n` +
    `  "prefill": [\n${lines(prefill).join(",\n")}\n  ]\n}\n`;
}

if (import.meta.main) {
  try {
    process.exitCode = await checkBudgets(readOptions(process.argv.slice(2))) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
