// summary.ts - documents' results to rows: one for each task, length and mode.
import type { DocumentResult } from "./run.ts";
import { auditCount, auditSums } from "../ffi/constants.ts";
import type { EvalHead, EvalPlace, EvalReport, EvalRow } from "./rows.ts";
import { bootstrap, mean, quantile, wilson } from "./statistics.ts";

const BOOTSTRAP_SEED = 1;

/** The report of results, in the order in which tasks, lengths and modes first come. */
export function summarize(
  results: readonly DocumentResult[],
  { model, seed, layers, kvHeads }: {
    readonly model: string;
    readonly seed: number;
    readonly layers: number;
    readonly kvHeads: number;
  },
): EvalReport {
  const groups = new Map<string, DocumentResult[]>();
  for (const result of results) {
    const key = JSON.stringify([result.task, result.tokens, result.mode]);
    const group = groups.get(key) ?? [];
    groups.set(key, group);
    group.push(result);
  }
  const rows = [...groups.values()].map((group) => rowOf(group, layers * kvHeads));
  return { model, seed, rows, places: results.flatMap(placeOf), heads: headsOf(results, kvHeads) };
}

function placeOf(result: DocumentResult): EvalPlace[] {
  const { task, mode, tokens, depth, recalled, kl } = result;
  if (depth === null || recalled === null) return [];
  return [{ task, mode, tokens, depth, recalled, klMean: kl.length === 0 ? 0 : mean(kl) }];
}

function rowOf(group: readonly DocumentResult[], heads: number): EvalRow {
  const [{ task, tokens, mode }] = group;
  const all = group.flatMap(({ kl }) => kl);
  const steps = all.length;
  const asked = group.filter(({ recalled }) => recalled !== null);
  const right = asked.filter(({ recalled }) => recalled).length;
  const ofSteps =
    (statistic: (result: DocumentResult) => number) => (documents: readonly DocumentResult[]) =>
      documents.reduce((sum, result) => sum + statistic(result), 0) /
      documents.reduce((sum, { kl }) => sum + kl.length, 0);
  const klOf = ofSteps(({ kl }) => kl.reduce((sum, x) => sum + x, 0));
  const perplexityOf = (documents: readonly DocumentResult[]) =>
    Math.exp(ofSteps(({ surprise }) => surprise)(documents));
  const agreed = group.reduce((sum, result) => sum + result.agreed, 0);
  const none = asked.length === 0;
  return {
    ...{ task, tokens, mode, n: group.length },
    recall: none ? null : right / asked.length,
    recallLost: none ? null : lostOf(asked),
    klMean: klOf(group),
    klP99: steps === 0 ? 0 : quantile(all, 0.99),
    klMax: all.reduce((most, x) => Math.max(most, x), 0),
    top1: agreed / steps,
    perplexity: perplexityOf(group),
    ...guessesOf(group),
    ...massesOf(group),
    ratio: mean(group.map(({ nearBytes, fullBytes }) => nearBytes / fullBytes)),
    nearBytes: mean(group.map(({ nearBytes }) => nearBytes)),
    tokensPerStep: steps / group.reduce((sum, result) => sum + result.steps, 0),
    prefetchedRows: ofSteps(({ prefetchedRows }) => prefetchedRows)(group) / heads,
    lateRows: ofSteps(({ lateRows }) => lateRows)(group) / heads,
    intervals: {
      recall: none ? null : wilson(right, asked.length),
      recallLost: none ? null : bootstrap(asked, lostOf, BOOTSTRAP_SEED),
      klMean: bootstrap(group, klOf, BOOTSTRAP_SEED),
      top1: wilson(agreed, steps),
      perplexity: bootstrap(group, perplexityOf, BOOTSTRAP_SEED),
    },
  };
}

// Sums of all documents, [layers * kvHeads][auditCount]; empty where nothing was audited.
function auditOf(group: readonly DocumentResult[]): number[][] {
  const heads: number[][] = [];
  for (const { audit } of group) {
    audit?.forEach((value, at) => {
      const head = heads[Math.floor(at / auditCount)] ??= new Array(auditCount).fill(0);
      head[at % auditCount] += value;
    });
  }
  return heads;
}

function massesOf(group: readonly DocumentResult[]) {
  const heads = auditOf(group);
  const total = (of: number) => heads.reduce((sum, head) => sum + head[of], 0);
  const [samples, best] = [total(auditSums.samples), total(auditSums.best)];
  return {
    mass: best > 0 ? total(auditSums.chosen) / best : null,
    lostMass: samples > 0 ? total(auditSums.lost) / samples : null,
  };
}

function headsOf(results: readonly DocumentResult[], kvHeads: number): EvalHead[] {
  const modes = [...new Set(results.map(({ mode }) => mode))];
  return modes.flatMap((mode) =>
    auditOf(results.filter((result) => result.mode === mode)).map((sums, at) => {
      const mean = (of: number) => sums[of] / Math.max(1, sums[auditSums.samples]);
      return {
        ...{ mode, layer: Math.floor(at / kvHeads), head: at % kvHeads },
        mass: sums[auditSums.best] > 0 ? sums[auditSums.chosen] / sums[auditSums.best] : null,
        lostMass: mean(auditSums.lost),
        outputError: mean(auditSums.divergence),
      };
    })
  );
}

function lostOf(documents: readonly DocumentResult[]): number {
  const lost = documents.filter(({ recalled, fullRecalled }) => fullRecalled && !recalled).length;
  const gained = documents.filter(({ recalled, fullRecalled }) => !fullRecalled && recalled).length;
  return (lost - gained) / documents.length;
}

function guessesOf(group: readonly DocumentResult[]) {
  const share = (of: (result: DocumentResult) => { made: number; right: number }) => {
    const made = group.reduce((sum, result) => sum + of(result).made, 0);
    return made === 0 ? null : group.reduce((sum, result) => sum + of(result).right, 0) / made;
  };
  return {
    guessRight: share(({ guess }) => guess),
    guessRightBySource: {
      chain: share(({ guess }) => guess.bySource.chain),
      lookup: share(({ guess }) => guess.bySource.lookup),
    },
  };
}
