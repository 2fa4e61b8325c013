// main.ts - our speed beside rivals', both sides in turns in one run:
//   deno task bench:peers [attention] [scan] [chat] [shape] [--json] [--svg FILE] [--help]
// The first run installs the rivals into the cache folder: minutes, 6 GB. Needs python3 from 3.10
// on, with venv, and npm.
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { SpecacheError } from "../../../engine/errors.ts";
import { ensureLibrary } from "../../../ffi/ensure.ts";
import { pythonEnvironment } from "../environment.ts";
import { attentionAt, type AttentionRow, type SettingName, settings } from "./attention.ts";
import { type ChatRow, chats } from "./chat.ts";
import { installLlama } from "./llama.ts";
import { attentionPlot } from "./plot.ts";
import { attentionTable, chatTable, scanTable, shapeTable } from "./report.ts";
import { Rival } from "./rival.ts";
import { type ScanRow, scans } from "./scan.ts";
import { type ShapeRow, shapes } from "./shape.ts";

const folder = fileURLToPath(new URL(".", import.meta.url));
const HELP = `deno task bench:peers [attention] [scan] [chat] [shape]   default: all
  --threads N      of both sides; default the machine's cores
  --rounds N       turns of each side; default 9
  --turn-ms N      a turn's length; default 300
  --cycle-mib N    bytes that each side walks over; default 512
  --lengths LIST   of attention and shape, in K tokens; default 2,8,32,128
  --settings LIST  of ours: default, compact, none (no profile); default: default
  --json           one object instead of tables
  --svg FILE       a plot of attention's time against length`;

const flags = {
  threads: { type: "string", default: `${availableParallelism()}` },
  rounds: { type: "string", default: "9" },
  "turn-ms": { type: "string", default: "300" },
  "cycle-mib": { type: "string", default: "512" },
  lengths: { type: "string", default: "2,8,32,128" },
  settings: { type: "string", default: "default" },
  json: { type: "boolean", default: false },
  svg: { type: "string" },
  help: { type: "boolean", default: false },
} as const;

/** What is asked for. */
export interface Asked {
  readonly parts: readonly Part[];
  readonly threads: number;
  readonly rounds: number;
  readonly turnMs: number;
  readonly cycleBytes: number;
  readonly lengths: readonly number[];
  readonly settings: readonly SettingName[];
  readonly json: boolean;
  readonly svg: string | undefined;
  readonly help: boolean;
}

const parts = ["attention", "scan", "chat", "shape"] as const;
type Part = typeof parts[number];

/**
 * What the command line asks for.
 *
 * @throws {SpecacheError} argument
 */
export function askedOf(args: readonly string[]): Asked {
  const { values, positionals } = attempt(() =>
    parseArgs({ args: [...args], options: flags, allowPositionals: true })
  );
  const number = (name: "threads" | "rounds" | "turn-ms" | "cycle-mib") =>
    positive(`--${name}`, values[name]);
  return {
    parts: positionals.length === 0 ? parts : each("part", positionals, parts),
    threads: number("threads"),
    rounds: number("rounds"),
    turnMs: number("turn-ms"),
    cycleBytes: number("cycle-mib") * 2 ** 20,
    lengths: values.lengths.split(",").map((text) => 1024 * positive("--lengths", text)),
    settings: each(
      "--settings",
      values.settings.split(","),
      Object.keys(settings),
    ) as SettingName[],
    ...{ json: values.json, svg: values.svg, help: values.help },
  };
}

function attempt<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (cause) {
    return refuse((cause as Error).message, cause);
  }
}

function positive(name: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  return refuse(`${name} ${text} is not a whole number from 1 on`);
}

function each<Name extends string>(what: string, names: string[], known: readonly Name[]): Name[] {
  return names.map((name) =>
    known.find((it) => it === name) ?? refuse(`${what} ${name} is none of ${known.join(", ")}`)
  );
}

function refuse(why: string, cause?: unknown): never {
  throw new SpecacheError("argument", `Cannot compare speed: ${why}`, { cause });
}

async function attention(asked: Asked): Promise<AttentionRow[]> {
  const python = await pythonEnvironment("peers-speed", folder);
  const { libraries } = await installLlama();
  const { threads } = asked;
  const script = (name: string, ...more: string[]) =>
    new Rival(python, [`${folder}${name}`, `${threads}`, ...more], threads);
  using torch = script("torch_attention.py");
  using llama = script("llama_attention.py", libraries);
  const rows: AttentionRow[] = [];
  for (const tokens of asked.lengths) {
    for (const setting of asked.settings) {
      console.error(`attention, ${tokens} tokens, ${setting}`);
      rows.push(await attentionAt(tokens, setting, { ...asked, torch, llama }));
    }
  }
  return rows;
}

async function scan(asked: Asked): Promise<ScanRow[]> {
  console.error("scan and top-k");
  const python = await pythonEnvironment("peers-speed", folder);
  return await scans({ ...asked, python, folder });
}

async function chat(asked: Asked): Promise<ChatRow[]> {
  using llama = await llamaEngine(asked.threads);
  return await chats({ ...asked, llama });
}

async function shape(asked: Asked): Promise<ShapeRow[]> {
  using llama = await llamaEngine(asked.threads);
  return await shapes({ ...asked, llama });
}

async function llamaEngine(threads: number): Promise<Rival> {
  const { module } = await installLlama();
  return new Rival("node", [join(folder, "llama_engine.mjs"), module, `${threads}`], threads);
}

async function main(args: readonly string[]): Promise<void> {
  const asked = askedOf(args);
  if (asked.help) return console.log(HELP);
  await ensureLibrary();
  const wants = (part: Part) => asked.parts.includes(part);
  const found = {
    threads: asked.threads,
    attention: wants("attention") ? await attention(asked) : [],
    scan: wants("scan") ? await scan(asked) : [],
    chat: wants("chat") ? await chat(asked) : [],
    shape: wants("shape") ? await shape(asked) : [],
  };
  if (asked.svg !== undefined) writeFileSync(asked.svg, attentionPlot(found.attention));
  if (asked.json) return console.log(JSON.stringify(found, null, 1));
  if (wants("attention")) console.log(`${attentionTable(found.attention)}\n`);
  if (wants("scan")) console.log(`${scanTable(found.scan)}\n`);
  if (wants("chat")) console.log(`${chatTable(found.chat)}\n`);
  if (wants("shape")) console.log(`${shapeTable(found.shape)}\n`);
}

if (import.meta.main) {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
