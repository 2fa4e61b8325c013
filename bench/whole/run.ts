// run.ts - what the benches of whole steps share: their flags, where they run, how they fail.
import { cpus, loadavg } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { SpecacheError } from "../../engine/errors.ts";
import { ensureLibrary } from "../../ffi/ensure.ts";

/** A flag that takes a value. */
export interface Flag {
  /** Where it is left out. */
  readonly value: string;
  /** What it is, for --help. */
  readonly what: string;
}

/** What was asked for. */
export interface Asked<Name extends string> {
  readonly json: boolean;
  text(name: Name): string;
  /** A whole number from 1 on. */
  number(name: Name): number;
  /** Several, with commas between. */
  numbers(name: Name): number[];
}

/** A bench: what its rows are, and how they are printed. */
export interface Bench<Name extends string, Row> {
  /** Its task, `bench:batch`, and what it measures. */
  readonly task: string;
  readonly what: string;
  readonly flags: Readonly<Record<Name, Flag>>;
  rows(asked: Asked<Name>): Promise<Row[]>;
  print(rows: readonly Row[]): string;
}

/**
 * Reads a command line.
 *
 * @throws {SpecacheError} argument
 */
export function askedOf<Name extends string>(
  flags: Readonly<Record<Name, Flag>>,
  args: readonly string[],
): Asked<Name> & { readonly help: boolean } {
  const options = Object.fromEntries(
    Object.entries<Flag>(flags).map(([name, { value }]) => [
      name,
      { type: "string", default: value } as const,
    ]),
  );
  const more = { json: { type: "boolean" }, help: { type: "boolean" } } as const;
  let values: Readonly<Record<string, string | boolean | undefined>>;
  try {
    ({ values } = parseArgs({ args: [...args], options: { ...options, ...more } }));
  } catch (cause) {
    return refuse((cause as Error).message, cause);
  }
  const text = (name: Name) => String(values[name]);
  const numberOf = (name: Name, written: string) =>
    /^[1-9]\d{0,8}$/.test(written)
      ? Number(written)
      : refuse(`--${name} ${written} is not a whole number from 1 on`);
  return {
    json: values.json === true,
    help: values.help === true,
    text,
    number: (name) => numberOf(name, text(name)),
    numbers: (name) => text(name).split(",").map((written) => numberOf(name, written)),
  };
}

function refuse(why: string, cause?: unknown): never {
  throw new SpecacheError("argument", `Cannot measure: ${why}`, { cause });
}

/** What --help prints. */
export function helpOf<Name extends string, Row>({ task, what, flags }: Bench<Name, Row>): string {
  const lines = Object.entries<Flag>(flags).map(([name, { value, what }]) => [
    `  --${name} ${value}`,
    what,
  ]);
  const width = Math.max(...lines.map(([flag]) => flag.length), "  --json".length) + 2;
  return [
    `deno task ${task}: ${what}`,
    ...[...lines, ["  --json", "one object instead of a table"]].map(([flag, what]) =>
      flag.padEnd(width) + what
    ),
  ].join("\n");
}

/** Runs a bench as a program. */
export async function runBench<Name extends string, Row>(bench: Bench<Name, Row>): Promise<never> {
  try {
    const asked = askedOf(bench.flags, process.argv.slice(2));
    if (asked.help) console.log(helpOf(bench));
    else await measure(bench, asked);
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    console.error(error.message);
    process.exit(2);
  }
  process.exit(0); // the library's threads are of no use any more
}

async function measure<Name extends string, Row>(bench: Bench<Name, Row>, asked: Asked<Name>) {
  await ensureLibrary();
  const runtime = "Bun" in globalThis ? "Bun" : "Deno";
  const [loadBefore] = loadavg(); // what else runs: a ratio of a loaded machine is a hint
  const rows = await bench.rows(asked);
  const machine = { cpu: cpus()[0].model, cores: cpus().length, runtime, loadBefore };
  if (asked.json) return console.log(JSON.stringify({ machine, rows }));
  const load = `load average ${loadBefore.toFixed(1)} before`;
  console.log(`${machine.cpu}, ${machine.cores} cores, ${runtime}, ${load}\n`);
  console.log(bench.print(rows));
}
