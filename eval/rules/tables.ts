// tables.ts - what the study prints.
import { table } from "../table.ts";
import type { Depth, Fit, RuleRow } from "./summary.ts";
import { CANDIDATES, COUNTS, SHARES } from "./study.ts";

/** Rules by their error at k = 256, the least first within a length. */
export function ruleTable(rows: readonly RuleRow[]): string {
  const at256 = COUNTS.indexOf(256);
  const head = [
    ...["rule: keys / values", "tokens", "bits", "sigma"],
    ...COUNTS.filter((count) => count > 0).map((count) => `mass ${count}`),
    ...COUNTS.map((count) => `error ${count}`),
    ...CANDIDATES.map((count) => `of ${count}`),
    ...["fact p99"],
  ];
  const coded = rows.filter(({ bits }) => bits !== null).sort((a, b) =>
    a.tokens - b.tokens || a.error[at256] - b.error[at256]
  );
  return table([
    head,
    ...coded.map((row) => [
      ...[row.rule, `${row.tokens}`, row.bits!.toFixed(3), row.sigma.toFixed(2)],
      ...row.mass.slice(1).map((mass) => mass.toFixed(3)),
      ...[...row.error, ...row.rerankedError].map((error) => error.toFixed(4)),
      row.factDepth === null ? "-" : `${row.factDepth.p99}`,
    ]),
  ]);
}

/** Depths by length, and their fits. */
export function depthTable(rows: readonly RuleRow[], fits: readonly Fit[]): string {
  const shown = (depth: Depth | null) =>
    depth === null ? ["-", "-", "-"] : [depth.median, depth.p99, depth.most].map(String);
  const names = [...SHARES.map((share) => `${share * 100} %`), "fact"];
  const depths = table([
    ["rule: keys / values", "tokens", ...names.flatMap((of) => [of, "p99", "most"])],
    ...rows.map((row) => [
      ...[row.rule, `${row.tokens}`],
      ...[...row.depth, row.factDepth].flatMap(shown),
    ]),
  ]);
  const growth = table([
    ["rule: keys / values", "p99 depth of", "tokens^", "at 32K", "at 128K"],
    ...fits.map(({ rule, of, power, at32K, at128K }) => [
      ...[rule, of, power.toFixed(2), at32K.toFixed(0), at128K.toFixed(0)],
    ]),
  ]);
  return fits.length > 0 ? `${depths}\n\n${growth}` : depths;
}
