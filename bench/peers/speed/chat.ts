// chat.ts - a small real model end to end: SmolLM2, the same file and threads, ours against
// node-llama-cpp. Decode behind a long prompt, a token a step on both sides; prefill of whole
// prompts.
import { existsSync } from "node:fs";
import process from "node:process";
import { profile } from "../../../cli/profile.ts";
import type { EngineOptions } from "../../../engine/config.ts";
import { SpecacheError } from "../../../engine/errors.ts";
import { Engine } from "../../../engine/engine.ts";
import { describeModel } from "../../../engine/model/describe.ts";
import { modelHash, profilePath } from "../../../engine/profile_store.ts";
import type { Session } from "../../../engine/session.ts";
import { longText } from "../../../eval/text.ts";
import { smollm2 } from "../../../tools/smollm2.ts";
import {
  interleave,
  type Ratio,
  ratioOf,
  type Rounds,
  type Side,
  type Times,
} from "./interleave.ts";
import type { Rival } from "./rival.ts";

const CONTEXT = 8192; // the model's
const PREFILLS = [512, 2048]; // tokens, beside the whole prompt
const LONG_ROUNDS = 3; // of prefills that take many seconds each
const TOKENS = 16; // decoded at a time
const RIVAL = "node-llama-cpp";
interface Mode {
  readonly name: string;
  readonly options: Partial<EngineOptions>;
  /** Its prefill is another's: only its decode is measured. */
  readonly decodes?: true;
}
const modes: readonly Mode[] = [
  { name: "ours, default", options: {} },
  { name: "ours, compact", options: { setting: "compact" } },
  { name: "ours, full", options: { mode: "full" } },
  { name: "ours, default, int8 activations", options: { activations: "int8" }, decodes: true },
];

/** What one side took for a token, and tokens a second over those of the rival. */
export interface ChatRow extends Times {
  /** `decode at 7500`, `prefill of 512`. */
  readonly task: string;
  readonly over: Ratio;
}

/** How to measure. */
export interface ChatOptions extends Rounds {
  readonly threads: number;
  /** Tokens behind which is decoded. */
  readonly prompt: number;
  readonly llama: Rival;
}

/** Measures decode, then prefill of each length. */
export async function chats(options: ChatOptions): Promise<ChatRow[]> {
  const { threads, prompt, llama } = options;
  const model = await smollm2();
  const description = describeModel(model);
  if (!existsSync(profilePath(modelHash(description)))) {
    await profile(["--model", model], { stdout: process.stderr, stderr: process.stderr });
  }
  const contextTokens = CONTEXT;
  await llama.ask({ do: "open", path: model, contextTokens });
  const engines = await Promise.all(
    modes.map(async ({ options, ...mode }) => ({
      ...mode,
      engine: await Engine.open({ ...options, model, contextTokens, threads }),
    })),
  );
  try {
    const ids = engines[0].engine.tokenizer!.encode(await longText(), true);
    const rows: ChatRow[] = [];
    for (const tokens of [...PREFILLS.filter((tokens) => tokens < prompt), prompt]) {
      console.error(`prefill of ${tokens}`);
      const long = tokens > PREFILLS[0];
      const rounds = long ? Math.min(options.rounds, LONG_ROUNDS) : options.rounds;
      const how = { ...options, rounds, warm: !long };
      const reading = engines.filter(({ decodes }) => decodes === undefined);
      rows.push(...await prefills(reading, llama, ids.slice(0, tokens), how));
    }
    console.error(`decode at ${prompt}`);
    rows.push(...await decodes(engines, llama, ids.slice(0, prompt + 1), options));
    return rows;
  } finally {
    for (const { engine } of engines) await engine.close();
  }
}

interface Named extends Omit<Mode, "options"> {
  readonly engine: Engine;
}

async function prefills(engines: readonly Named[], llama: Rival, ids: number[], how: Rounds) {
  const ours = engines.map(({ name, engine }): Side => ({
    name,
    async turn(passes) {
      let ms = 0;
      for (let pass = 0; pass < passes; pass++) {
        await using session = await engine.session();
        const started = performance.now();
        await session.append({ ids });
        ms += performance.now() - started;
      }
      return ms / passes / ids.length;
    },
  }));
  const theirs: Side = {
    name: RIVAL,
    async turn(passes) {
      let ms = 0;
      for (let pass = 0; pass < passes; pass++) {
        ms += (await llama.ask<{ ms: number }>({ do: "prefill", ids })).ms;
      }
      return ms / passes / ids.length;
    },
  };
  return rowsOf(`prefill of ${ids.length}`, await interleave([...ours, theirs], how));
}

// The last id is what both sides go on from.
async function decodes(engines: readonly Named[], llama: Rival, all: number[], how: Rounds) {
  const [ids, next] = [all.slice(0, -1), all.at(-1)!];
  await llama.ask({ do: "prefill", ids });
  const sessions = await Promise.all(engines.map(({ engine }) => engine.session()));
  const ours: Side[] = [];
  for (const [at, session] of sessions.entries()) {
    await session.append({ ids });
    const { name } = engines[at];
    ours.push({ name, turn: (passes) => decode(session, next, passes * TOKENS) });
  }
  const theirs: Side = {
    name: RIVAL,
    turn: async (passes) =>
      (await llama.ask<{ ms: number }>({ do: "decode", next, tokens: passes * TOKENS })).ms,
  };
  return rowsOf(`decode at ${ids.length}`, await interleave([...ours, theirs], how));
}

// Milliseconds of a token: of decode steps, whose first one comes behind the prompt's logits.
async function decode(session: Session, next: number, maxTokens: number): Promise<number> {
  const { length } = session;
  const asked = { ids: [next], maxTokens: maxTokens + 1, accept: "off" } as const;
  const { timing } = await session.generate(asked).result;
  await session.truncate(length);
  if (timing.tokensPerSecond > 0) return 1000 / timing.tokensPerSecond;
  throw new SpecacheError("data", `Cannot compare speed: token ${next} ends the text`);
}

function rowsOf(task: string, times: readonly Times[]): ChatRow[] {
  const theirs = times.at(-1)!.ms;
  return times.map((side) => ({ task, ...side, over: ratioOf(theirs, side.ms) }));
}
