// serve.ts - `deno task bench:serve`: what HTTP adds to a token, what a known beginning saves, what
// several streams at once give, and how soon a busy server answers /health. The server is a process
// of its own, as `specache serve` starts it; both sides of a ratio in turn in one run.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Engine } from "../../engine/engine.ts";
import { quantile } from "../../eval/statistics.ts";
import { table } from "../../eval/table.ts";
import { smollm2 } from "../../tools/smollm2.ts";
import { type Ratio, ratioOf } from "../peers/speed/interleave.ts";
import { ratioText } from "../peers/speed/report.ts";
import { type Asked, type Bench, runBench } from "./run.ts";

/** One measure. */
export interface ServeRow {
  readonly measure: string;
  /** Milliseconds, or tokens a second, of both sides; null: there is one side. */
  readonly ours: number;
  readonly beside: number | null;
  readonly unit: "ms" | "tokens/s";
  readonly ratio: Ratio | null;
  readonly bar: string;
}

const flags = {
  rounds: { value: "5", what: "turns of each side" },
  prompt: { value: "512", what: "tokens of the prompt, of HTTP's cost" },
  tokens: { value: "128", what: "tokens of an answer" },
  prefix: { value: "4000", what: "tokens of the beginning that is known" },
  streams: { value: "8", what: "at once" },
  threads: { value: "all", what: "that compute, of both sides" },
  model: { value: "smollm2", what: "a model's path, or smollm2" },
};
type Names = keyof typeof flags;

/** A server in a process of its own. */
class Server implements AsyncDisposable {
  private constructor(readonly child: ChildProcess, readonly url: string) {}

  static async start(model: string, args: readonly string[]): Promise<Server> {
    const main = fileURLToPath(new URL("../../main.ts", import.meta.url));
    const deno = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
    const line = [...deno, main, "serve", "--model", model, "--name", "bench", "--port", "0"];
    const stdio = ["ignore", "pipe", "inherit"] as const;
    const child = spawn(process.execPath, [...line, ...args], { stdio: [...stdio] });
    const [told] = await once(child.stdout!, "data");
    return new Server(child, String(told).match(/http:\S+(?=\/v1)/)![0]);
  }

  /** Milliseconds at which each piece of an answer came. */
  async pieces(prompt: string, tokens: number): Promise<number[]> {
    const body = JSON.stringify({ prompt, ...asked(tokens), stream: true });
    const headers = { "Content-Type": "application/json" };
    const began = performance.now();
    const response = await fetch(`${this.url}/v1/generate`, { method: "POST", headers, body });
    const times: number[] = [];
    const decoder = new TextDecoder();
    for await (const bytes of response.body!) {
      const events = decoder.decode(bytes, { stream: true }).split('"piece"').length - 1;
      for (let event = 0; event < events; event++) times.push(performance.now() - began);
    }
    if (times.length === 0) throw new Error(`no answer: status ${response.status}`);
    return times;
  }

  /** Milliseconds until /health has answered. */
  async health(): Promise<number> {
    const began = performance.now();
    await (await fetch(`${this.url}/health`)).text();
    return performance.now() - began;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await once(this.child, "close");
  }
}

const asked = (maxTokens: number) => ({ maxTokens, accept: "off" }) as const;

async function rows(wanted: Asked<Names>): Promise<ServeRow[]> {
  const named = wanted.text("model");
  const model = named === "smollm2" ? await smollm2() : named;
  const [rounds, tokens] = [wanted.number("rounds"), wanted.number("tokens")];
  const [streams, prefix] = [wanted.number("streams"), wanted.number("prefix")];
  const threads = wanted.text("threads") === "all" ? undefined : wanted.number("threads");
  const options = { model, contextTokens: 8192, threads };
  await using engine = await Engine.open(options);
  const sizes = ["--context", "8192", "--sequences", `${streams}`];
  if (threads !== undefined) sizes.push("--threads", `${threads}`);
  await using server = await Server.start(model, sizes);
  const text = (tokens: number, name: string) => textOf(engine, tokens, name);
  const all = [
    await httpCost(engine, server, text(wanted.number("prompt"), "cost"), tokens, rounds),
    await knownBeginning(server, (name) => text(prefix, name), rounds),
    await together(server, (name) => text(64, name), { streams, tokens, rounds }),
    await healthUnderLoad(server, (name) => text(1000, name), { streams, tokens }),
  ];
  return all;
}

// A text that begins with its name, so that two names have no beginning in common.
function textOf({ tokenizer }: Engine, tokens: number, name: string): string {
  const words = Array.from({ length: tokens }, (_, at) => `${name} went to river ${at * 7 % 97}.`);
  return tokenizer!.decode(tokenizer!.encode(words.join(" ")).slice(0, tokens));
}

// Milliseconds a token, from the first to the last.
const perToken = (times: readonly number[]) => (times.at(-1)! - times[0]) / (times.length - 1);

async function httpCost(
  engine: Engine,
  server: Server,
  prompt: string,
  tokens: number,
  rounds: number,
): Promise<ServeRow> {
  const [http, inProcess]: number[][] = [[], []];
  for (let round = 0; round <= rounds; round++) {
    const times: number[] = [];
    for await (const _ of engine.generate({ prompt, ...asked(tokens) })) {
      times.push(performance.now());
    }
    const served = await server.pieces(prompt, tokens);
    if (round === 0) continue; // brings the weights
    http.push(perToken(served));
    inProcess.push(perToken(times));
  }
  return row("a token by HTTP and SSE, over in process", http, inProcess, "ms", "<= 1.05");
}

async function knownBeginning(
  server: Server,
  text: (name: string) => string,
  rounds: number,
): Promise<ServeRow> {
  const [warm, cold]: number[][] = [[], []];
  for (let round = 0; round < rounds; round++) {
    const beginning = text(`Round${round}`);
    cold.push((await server.pieces(`${beginning} One asked:`, 1))[0]);
    warm.push((await server.pieces(`${beginning} Two answered:`, 1))[0]);
  }
  return row("first token of a known beginning, over cold", warm, cold, "ms", "<= .1");
}

interface Together {
  readonly streams: number;
  readonly tokens: number;
  readonly rounds: number;
}

async function together(
  server: Server,
  text: (name: string) => string,
  { streams, tokens, rounds }: Together,
): Promise<ServeRow> {
  const speed = async (count: number, round: string) => {
    const began = performance.now();
    const names = Array.from({ length: count }, (_, at) => `${round} ${at}`);
    const all = await Promise.all(names.map((name) => server.pieces(text(name), tokens)));
    return all.flat().length * 1000 / (performance.now() - began);
  };
  const [many, one]: number[][] = [[], []];
  for (let round = 0; round < rounds; round++) {
    one.push(await speed(1, `One${round}`));
    many.push(await speed(streams, `Many${round}`));
  }
  return row(`${streams} streams at once, over one`, many, one, "tokens/s", ">= 2.5");
}

async function healthUnderLoad(
  server: Server,
  text: (name: string) => string,
  { streams, tokens }: Omit<Together, "rounds">,
): Promise<ServeRow> {
  const times: number[] = [];
  let loaded = true;
  const names = Array.from({ length: 2 * streams }, (_, at) => `Load${at}`);
  const load = Promise.all(names.map((name) => server.pieces(text(name), tokens)))
    .finally(() => loaded = false);
  while (loaded) {
    times.push(await server.health());
    await new Promise((answer) => setTimeout(answer, 5));
  }
  await load;
  const measure = `/health, 99th of 100, under ${2 * streams} requests (${times.length} asked)`;
  const [ours, beside, ratio] = [quantile(times, 0.99), null, null];
  return { measure, ours, beside, unit: "ms", ratio, bar: "<= 50 ms" };
}

function row(
  measure: string,
  ours: readonly number[],
  beside: readonly number[],
  unit: ServeRow["unit"],
  bar: string,
): ServeRow {
  const [mine, other] = [quantile(ours, 0.5), quantile(beside, 0.5)];
  return { measure, ours: mine, beside: other, unit, ratio: ratioOf(ours, beside), bar };
}

function print(rows: readonly ServeRow[]): string {
  return table([
    ["measure", "ours", "beside", "ratio", "bar"],
    ...rows.map(({ measure, ours, beside, unit, ratio, bar }) => [
      ...[measure, `${ours.toFixed(2)} ${unit}`],
      ...[beside === null ? "" : `${beside.toFixed(2)} ${unit}`, ratio ? ratioText(ratio) : ""],
      bar,
    ]),
  ]);
}

export const bench: Bench<Names, ServeRow> = {
  task: "bench:serve",
  what: "what HTTP, reuse and batching cost and give",
  ...{ flags, rows, print },
};

if (import.meta.main) await runBench(bench);
