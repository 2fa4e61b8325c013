// main.ts - our speed beside rivals', both sides in turns in one run:
//   deno task bench:peers [attention] [scan] [chat] [shape] [--json] [--svg FILE] [--help]
// The first run installs the rivals into the cache folder: minutes, 6 GB. Needs python3 from 3.10
// on, with venv, and npm.
import { writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { SpecacheError } from "../../../engine/errors.ts";
import { ensureLibrary } from "../../../ffi/ensure.ts";
import { pythonEnvironment } from "../environment.ts";
import { type Asked, askedOf, HELP, type Part } from "./asked.ts";
import { attentionAt, type AttentionRow } from "./attention.ts";
import { type ChatRow, chats } from "./chat.ts";
import { installLlama, llamaLibraries } from "./llama.ts";
import { attentionPlot } from "./plot.ts";
import { attentionTable, chatTable, scanTable, shapeTable } from "./report.ts";
import { Rival } from "./rival.ts";
import { type ScanRow, scans } from "./scan.ts";
import { type ShapeRow, shapes } from "./shape.ts";

const folder = fileURLToPath(new URL(".", import.meta.url));
async function attention(asked: Asked): Promise<AttentionRow[]> {
  const python = await pythonEnvironment("peers-speed", folder);
  const libraries = await llamaLibraries(asked.build);
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
  const found = await measured(asked);
  if (asked.json) console.log(JSON.stringify(found, null, 1));
  else print(found, asked);
  // Last: a plot that cannot be written costs no figures.
  if (asked.svg !== undefined) writeFileSync(asked.svg, attentionPlot(found.attention));
}

type Found = Awaited<ReturnType<typeof measured>>;

async function measured(asked: Asked) {
  const wants = (part: Part) => asked.parts.includes(part);
  const loadBefore = loadavg()[0]; // what else runs: a ratio of a loaded machine is a hint
  return {
    machine: { cpu: cpus()[0].model, cores: cpus().length, loadBefore },
    threads: asked.threads,
    attention: wants("attention") ? await attention(asked) : [],
    scan: wants("scan") ? await scan(asked) : [],
    chat: wants("chat") ? await chat(asked) : [],
    shape: wants("shape") ? await shape(asked) : [],
  };
}

function print(found: Found, { parts, threads }: Asked): void {
  const { cpu, cores, loadBefore } = found.machine;
  const load = `load average ${loadBefore.toFixed(1)} before`;
  console.log(`${cpu}, ${cores} cores, ${threads} threads a side, ${load}\n`);
  if (parts.includes("attention")) console.log(`${attentionTable(found.attention)}\n`);
  if (parts.includes("scan")) console.log(`${scanTable(found.scan)}\n`);
  if (parts.includes("chat")) console.log(`${chatTable(found.chat)}\n`);
  if (parts.includes("shape")) console.log(`${shapeTable(found.shape)}\n`);
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
