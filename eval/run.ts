// run.ts - one document in every mode. Mode full reads the prompt, exactly; its rows go to the
// other modes' stores, so all see the same bits. Full then decodes greedily, and every mode is fed
// these tokens through the product's own loop (engine/decode.ts).
import { decode } from "../engine/decode.ts";
import { DecodeState } from "../engine/decode_state.ts";
import type { ModelDescription } from "../engine/model/describe.ts";
import { NativeStore } from "../engine/native.ts";
import { usesProfile } from "../engine/profile_auto.ts";
import { type Profile, readProfile } from "../engine/profile.ts";
import { sample } from "../engine/sampler.ts";
import { type Settings, settle, settleRequest } from "../engine/settings.ts";
import type { GuessStats } from "../engine/stats.ts";
import type { EvalMode } from "./modes.ts";
import { divergence, normaliser } from "./statistics.ts";
import { answered, type EvalDocument } from "./tasks/document.ts";

/** Steps of a document at most. */
export const STEPS_MAX = 80;

/** One mode's figures of one document; what a resume file holds, line by line. */
export interface DocumentResult {
  readonly task: string;
  readonly tokens: number;
  readonly seed: number;
  readonly mode: string;
  readonly depth: number | null;
  /** Whether the mode's own greedy answer is right, and whether full's is; null without one. */
  readonly recalled: boolean | null;
  readonly fullRecalled: boolean | null;
  /** KL(full || mode) of each step, nats. */
  readonly kl: readonly number[];
  /** Steps whose most probable token is full's. */
  readonly agreed: number;
  /** Sum over steps of -log p of the token fed. */
  readonly surprise: number;
  readonly guess: GuessStats;
  /** Decode steps that gave the tokens fed: fewer where guesses were accepted. */
  readonly steps: number;
  /** Sums of the audit [layers * kvHeads * auditCount]; null: nothing is coded. */
  readonly audit: readonly number[] | null;
  readonly prefetchedRows: number;
  readonly lateRows: number;
  readonly nearBytes: number;
  readonly fullBytes: number;
}

/** A mode's store, open for a whole evaluation. */
export interface OpenMode {
  readonly mode: EvalMode;
  readonly store: NativeStore;
}

/** What stores are opened with. */
export interface OpenOptions {
  readonly description: ModelDescription;
  readonly profile: Profile | null;
  /** Longest document. */
  readonly tokens: number;
  readonly threads: number;
  /** Far file of a mode, or null for RAM. */
  far(mode: EvalMode): string | null;
}

/** Opens a store with the model for a mode. */
export function openMode(mode: EvalMode, options: OpenOptions): OpenMode {
  const { description, threads } = options;
  const own = profileOf(mode, options);
  const file = options.far(mode);
  const far = file === null || mode.cache.mode === "full" ? "ram" as const : { file };
  const audit = mode.cache.mode === "full" ? 0 : AUDIT;
  const settings: Settings = settle(
    { audit, ...mode.cache, far: mode.cache.far ?? far, threads: threads || undefined },
    Math.min(options.tokens + STEPS_MAX + 1, description.tokensMax),
    own && { keys: own.keyBits !== null, values: own.valueBasis !== null },
    ACTION,
  );
  const store = NativeStore.open(settings, description, own, ACTION);
  try {
    store.loadModel(description);
  } catch (error) {
    store.close();
    throw error;
  }
  return { mode, store };
}

// The mode's own file, else the evaluation's profile where the mode can use one.
function profileOf({ cache }: EvalMode, { profile, description }: OpenOptions): Profile | null {
  if (!usesProfile(cache) || cache.profile === "none") return null;
  const own = cache.profile ?? "auto";
  return own === "auto" ? profile : readProfile(own, description);
}

const ACTION = "evaluate";
const AUDIT = 0.05; // of (step, layer, KV head): some hundred samples a document

/** What a document is run with. */
export interface RunOptions {
  /** A store of mode full; it reads the prompts. */
  readonly full: NativeStore;
  readonly modes: readonly OpenMode[];
  readonly description: ModelDescription;
  decode(ids: readonly number[]): string;
  readonly steps: number;
}

/** What `full` made of a document. */
interface Truth {
  readonly tokens: readonly number[];
  /** Logits of each step, the first token's left out: it comes from the exact prompt. */
  readonly logits: readonly Float32Array[];
}

/** All modes' figures of a document, and the tokens that they were fed. */
export function runDocument(
  document: EvalDocument,
  options: RunOptions,
): { readonly results: DocumentResult[]; readonly target: readonly number[] } {
  const { full, modes, description } = options;
  const sequence = full.openSequence();
  try {
    const first = new Float32Array(full.vocabulary);
    full.prefill(sequence, document.ids, first);
    const truth = greedy(full, stateAfter(sequence, document, first), document, options);
    const right = recalledBy(truth.tokens, document, options);
    const results = modes.map((open) => {
      const shared = open.store === full;
      const own = shared ? sequence : copied(full, sequence, open, document, description);
      try {
        if (shared) full.truncate(sequence, document.ids.length);
        return runMode(open, own, { document, first, truth, right }, options);
      } finally {
        if (!shared) open.store.closeSequence(own);
      }
    });
    return { results, target: truth.tokens.slice(0, options.steps + 1) };
  } finally {
    full.closeSequence(sequence);
  }
}

// The prompt's rows in another mode's store, without reading it again.
function copied(
  full: NativeStore,
  sequence: bigint,
  { store }: OpenMode,
  { ids }: EvalDocument,
  description: ModelDescription,
): bigint {
  const copy = store.openSequence();
  for (let layer = 0; layer < description.layers; layer++) {
    const { keys, values } = full.rows(sequence, layer, ids.length, description);
    store.append(copy, layer, ids.length, keys, values);
  }
  return copy;
}

function stateAfter(sequence: bigint, { ids }: EvalDocument, first: Float32Array): DecodeState {
  const state = new DecodeState(sequence);
  state.read(ids.length);
  state.logits = first;
  state.text.add(ids);
  return state;
}

function greedy(
  store: NativeStore,
  state: DecodeState,
  { answerTokens }: EvalDocument,
  { description, steps }: RunOptions,
): Truth {
  const kept: Float32Array[] = [];
  const maxTokens = Math.max(steps + 1, answerTokens); // the answer is judged whole
  const request = settleRequest({ maxTokens, accept: "off" }, store.settings, ACTION);
  const tokens = taken(decode({
    ...{ store, state, request, eos: description.eos, cancelled: () => false },
    draw(logits, position) {
      kept.push(logits.slice());
      return sample(logits, request, position);
    },
  }));
  return { tokens, logits: kept.slice(1) };
}

function taken(events: ReturnType<typeof decode>): number[] {
  const tokens: number[] = [];
  for (const event of events) if (event.kind === "token") tokens.push(event.id);
  return tokens;
}

interface Asked {
  readonly document: EvalDocument;
  readonly first: Float32Array;
  readonly truth: Truth;
  readonly right: boolean | null;
}

function runMode(
  { mode, store }: OpenMode,
  sequence: bigint,
  { document, first, truth, right }: Asked,
  options: RunOptions,
): DocumentResult {
  const { ids, task, seed, depth } = document;
  const state = stateAfter(sequence, document, first);
  const steps = Math.max(0, Math.min(options.steps, truth.tokens.length - 1));
  const kl: number[] = [];
  let agreed = 0, surprise = 0;
  const request = settleRequest(
    { accept: "off", ...mode.request, maxTokens: steps + 1 },
    store.settings,
    ACTION,
  );
  const compare = (logits: Float32Array, step: number) => {
    kl.push(divergence(truth.logits[step], logits));
    if (sample(logits, request, 0) === sample(truth.logits[step], request, 0)) agreed++;
    surprise += normaliser(logits) - logits[truth.tokens[step + 1]];
  };
  taken(decode({
    ...{ store, state, request, eos: [], cancelled: () => false },
    draw(logits, position, input) {
      const at = position - ids.length;
      if (input > 0) return sample(logits, request, position);
      if (at > 0) compare(logits, at - 1);
      return truth.tokens[at];
    },
  }));
  const audit = store.settings.audit === 0 ? null : Array.from(store.audited(sequence));
  const { nearBytes, fullBytes, prefetchedRows, lateRows, guess } = store.stats(
    sequence,
    state.guessStats,
  );
  return {
    ...{ task, tokens: ids.length, seed, mode: mode.name, depth },
    recalled: mode.cache.mode === "full"
      ? right
      : ownAnswer(store, sequence, mode, document, first, options),
    fullRecalled: right,
    ...{
      audit,
      kl,
      agreed,
      surprise,
      guess,
      steps: state.steps,
      prefetchedRows,
      lateRows,
      nearBytes,
      fullBytes,
    },
  };
}

// What the mode itself answers, greedily.
function ownAnswer(
  store: NativeStore,
  sequence: bigint,
  mode: EvalMode,
  document: EvalDocument,
  first: Float32Array,
  options: RunOptions,
): boolean | null {
  if (document.answers === null) return null;
  store.truncate(sequence, document.ids.length);
  const request = settleRequest(
    { accept: "off", ...mode.request, maxTokens: document.answerTokens },
    store.settings,
    ACTION,
  );
  const tokens = taken(decode({
    ...{ store, state: stateAfter(sequence, document, first), request, cancelled: () => false },
    eos: options.description.eos,
  }));
  return recalledBy(tokens, document, options);
}

function recalledBy(
  tokens: readonly number[],
  { answers, answerTokens }: EvalDocument,
  options: RunOptions,
): boolean | null {
  return answers && answered(options.decode(tokens.slice(0, answerTokens)), answers);
}
