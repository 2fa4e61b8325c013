// tables.ts - the model's answers as tables. Every title says "modelled": nothing here was measured
// on a GPU.
import {
  headRun,
  llama8b,
  memoryBytes,
  nearBytes,
  settings,
  stepBytes,
  stepParts,
  view,
} from "./bytes.ts";
import { type Machine, machines } from "./machines.ts";
import {
  type Fetch,
  type Instructions,
  issueSeconds,
  lateRowSeconds,
  longest,
  measuredFetch,
  modelStep,
  overtakes,
  paperFetch,
  type Question,
  rightFetch,
  weights16,
  weightsQ4,
} from "./model.ts";

/** A table whose title says that it is modelled. */
export interface ModelTable {
  readonly title: string;
  readonly notes: readonly string[];
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const K = 1024;
export const lengths: readonly number[] = [4, 16, 32, 64, 128, 256, 512, 1024].map((x) => x * K);
export const batches: readonly number[] = [1, 4, 16];
const INPUTS = 2; // the true token and one guess, as `guesses: "auto"` runs

type Asked = Omit<Question, "machine" | "tokens" | "batch" | "instructions">;
const usual: Asked = {
  ...{ weights: weights16, codes: settings.default, inputs: INPUTS, fetch: measuredFetch },
};

/** All tables, in the page's order. */
export function modelTables(instructions: Instructions): ModelTable[] {
  return [
    tokenTable(),
    leastTable(),
    issueTable(instructions),
    ...machines.map((machine) => stepTable(machine, instructions)),
    overtakeTable(instructions),
    capacityTable(),
    settingTable(instructions),
    fetchTable(instructions),
  ];
}

function tokenTable(): ModelTable {
  const tokens = 128 * K;
  const { pages } = view(tokens);
  const each = (bytes: number) => (bytes / (pages * 64)).toFixed(2);
  const inputs = [1, INPUTS].map((count) => stepParts(llama8b, settings.default, tokens, count));
  const cells = inputs.map((parts) =>
    parts.map((part) => [part.least, part.compulsory, part.issued])
  );
  const sums = cells.map((rows) =>
    [0, 1, 2].map((i) => rows.reduce((sum, row) => sum + row[i], 0))
  );
  const line = (name: string, numbers: number[][]) => [name, ...numbers.flat().map(each)];
  return {
    title: "Bytes per token and KV head, modelled",
    notes: [
      "Of a step at 131,072 tokens, `default` with a profile, bytes over coded tokens. *least*:",
      "each byte of codes and each exact row once. *compulsory*: each different byte that the",
      "kernels touch once, also the logits between them and partial sums. *issued*: every load and",
      "store as written; what is above compulsory has to come from L1 or L2: `choose.cu` reads",
      "the logits twice and its values four times, `attend_codes` the logits twice; codes are read",
      "once for 8 queries.",
    ],
    head: [
      "kernel",
      ...[1, INPUTS].flatMap((count) =>
        ["least", "compulsory", "issued"].map((name) =>
          `${name}, ${count} input${count > 1 ? "s" : ""}`
        )
      ),
    ],
    rows: [
      ...inputs[0].map(({ kernel }, i) => line(kernel, cells.map((rows) => rows[i]))),
      line("all", sums),
    ],
  };
}

function leastTable(): ModelTable {
  return {
    title: "Bytes of a step over the least possible, modelled",
    notes: [
      "The goal is 1.1 at most. A step takes the KV heads of a layer by runs whose logits and",
      "values are two fifths of L2 at most, each in the memory of the run before, and what is",
      "read once (codes, 16-bit weights) is loaded so that caches drop it first. Where half of L2",
      "holds a run, memory moves codes and rows alone, as the model has it; where one head is too",
      "much, logits too. Compulsory bytes, what is between kernels counted",
      "once wherever it is, stay above 1.1: 4 bytes a token, query head and input beside 41 of",
      "codes. By machine: bytes that memory moves over the least, and heads of a run.",
    ],
    head: [
      "tokens",
      "inputs",
      "least, MB",
      "compulsory / least",
      "issued / least",
      ...machines.map(({ name }) => name),
    ],
    rows: [4, 32, 128, 1024].flatMap((thousands) =>
      [1, INPUTS].map((inputs) => {
        const bytes = stepBytes(llama8b, settings.default, thousands * K, inputs);
        const { least, compulsory, issued } = bytes;
        return [
          ...[lengthText(thousands * K), `${inputs}`, (least / 1e6).toFixed(0)],
          ...[(compulsory / least).toFixed(2), (issued / least).toFixed(2)],
          ...machines.map(({ cacheBytes }) => {
            const run = headRun(llama8b, thousands * K, inputs, cacheBytes);
            return `${(memoryBytes(bytes, run, cacheBytes) / least).toFixed(2)}, ${run.heads}`;
          }),
        ];
      })
    ),
  };
}

function issueTable(instructions: Instructions): ModelTable {
  return {
    title: "Instructions of the kernels as written, 131,072 tokens, one sequence, modelled",
    notes: [
      "The least time in ms in which a machine can start the instructions of each kernel's inner",
      "loops ([BUDGETS.md](BUDGETS.md)), the code of sm_90, all waits hidden; beside it the time",
      "of the bytes that memory moves. `attend_exact` has a block for each input, KV head of a run",
      "and 64 rows. *launches*: from kernel to kernel, 14 a layer and run, 1 us each (assumed), in",
      "no other time of this page.",
    ],
    head: [
      "machine",
      "inputs",
      "scan",
      "choose",
      "attend codes",
      "attend exact",
      "all",
      "bytes",
      "launches",
    ],
    rows: machines.flatMap((machine) =>
      [1, INPUTS].map((inputs) => {
        const question = { ...usual, machine, instructions, tokens: 128 * K, batch: 1, inputs };
        const { scan, choose, attendCodes, attendExact } = issueSeconds(question);
        const { issue, attention, launches } = modelStep(question);
        return [
          machine.name,
          `${inputs}`,
          ...[scan, choose, attendCodes, attendExact, issue, attention, launches].map(ms),
        ];
      })
    ),
  };
}

function stepTable(machine: Machine, instructions: Instructions): ModelTable {
  return {
    title: `${machine.name}, 16-bit weights, ms of a step, modelled`,
    notes: [
      "*least bytes*: were each byte of codes and each exact row touched once and nothing else;",
      "*our step*: by the bytes that our kernels need; *as written*: by their instructions.",
    ],
    head: [
      ...["tokens", "batch", "dense attention", "our attention", "as written", "late rows"],
      ...["prefetch", "of fetching hidden", "dense step", "least bytes", "our step", "as written"],
    ],
    rows: lengths.filter((tokens) => tokens !== 512 * K).flatMap((tokens) =>
      batches.map((batch) => {
        const step = modelStep({ ...usual, machine, instructions, tokens, batch });
        const own = step.fits ? "" : " *";
        return [
          ...[lengthText(tokens), `${batch}`, ms(step.denseAttention), ms(step.attention)],
          ...[ms(step.issue), ms(step.late), ms(step.prefetch), percent(step.hiddenShare)],
          ms(step.denseStep) + (step.denseFits ? "" : " *"),
          ...[step.stepAtLeast, step.step, step.stepAsWritten].map((time) => ms(time) + own),
        ];
      })
    ),
  };
}

function overtakeTable(instructions: Instructions): ModelTable {
  const length = (tokens: number | null) => tokens === null ? "never" : tokens.toLocaleString("en");
  return {
    title: "From which length on a step is faster than a dense one, tokens, modelled",
    notes: [
      "Dense 16-bit attention as if it fitted in memory. *bytes*: our kernels at the rate of their",
      "bytes; *as written*: where their instructions take longer; *least bytes*: of a step that",
      "touches no more. *late row*: what one late row more in every layer and KV head adds to a",
      "step, in microseconds.",
    ],
    head: [
      "machine",
      ...batches.map((batch) => `batch ${batch}, least bytes`),
      ...batches.map((batch) => `batch ${batch}, bytes`),
      ...[...batches.map((batch) => `batch ${batch}, as written`), "late row"],
    ],
    rows: machines.map((machine) => [
      machine.name,
      ...(["stepAtLeast", "step", "stepAsWritten"] as const).flatMap((which) =>
        batches.map((batch) => length(overtakes({ ...usual, machine, instructions, batch }, which)))
      ),
      (lateRowSeconds(machine) * 1e6).toFixed(1),
    ]),
  };
}

function capacityTable(): ModelTable {
  return {
    title: "The longest text that fits, thousands of tokens of each sequence, modelled",
    notes: [
      "Weights, near bytes of all sequences, slots, logits of a run; .97 of the memory. Nothing",
      "is kept for a prefill's chunks. The host holds 128 KiB a token (16 GiB at 131,072).",
    ],
    head: [
      ...["machine", "batch", "16-bit, dense", "16-bit, `default`", "16-bit, `compact`"],
      ...["Q4, dense", "Q4, `default`", "Q4, `compact`"],
    ],
    rows: machines.flatMap((machine) =>
      batches.map((batch) => [
        ...[machine.name, `${batch}`],
        ...[weights16, weightsQ4].flatMap((weights) => {
          const fit = (codes: Question["codes"]) =>
            longest({ ...usual, machine, weights, codes, batch, instructions: none });
          const thousands = (tokens: number) => (tokens / 1000).toFixed(0);
          const { dense, own } = fit(settings.default);
          return [dense, own, fit(settings.compact).own].map(thousands);
        }),
      ])
    ),
  };
}

const none: Instructions = { scan: 0, choose: 0, attendCodes: 0, attendExact: 0 };

function settingTable(instructions: Instructions): ModelTable {
  const machine = machines.find(({ name }) => name === "H100 SXM")!;
  return {
    title: "Settings, 131,072 tokens on an H100 SXM, one sequence, by bytes, modelled",
    notes: ["`paper`: two inputs, k 64, no late rows, 40 rows prefetched."],
    head: ["setting", "codes, bytes a token", "near / 16-bit cache", "attention, ms", "step, ms"],
    rows: Object.values(settings).map((codes) => {
      const tokens = 128 * K;
      const fetch = codes.rule === "paper" ? paperFetch : measuredFetch;
      const step = modelStep({ ...usual, codes, fetch, machine, instructions, tokens, batch: 1 });
      const each = (stepParts(llama8b, codes, tokens, 1).reduce((sum, { kernel, least }) =>
        kernel === "attend_exact" ? sum : sum + least, 0)) / (view(tokens).pages * 64);
      const full = tokens * 128 * K;
      return [
        ...[codes.name, each.toFixed(1), (nearBytes(llama8b, codes, tokens) / full).toFixed(3)],
        ...[ms(step.attention), ms(step.step)],
      ];
    }),
  };
}

function fetchTable(instructions: Instructions): ModelTable {
  const ways: readonly (readonly [string, Fetch])[] = [
    ["54.75 late, 64 prefetched (guess right .42 of the time)", measuredFetch],
    ["15 late, 64 prefetched (guess right)", rightFetch],
    ["none late, 40 prefetched (`paper`)", paperFetch],
  ];
  return {
    title: "Share of the fetch that is hidden, 131,072 tokens, 16-bit weights, by bytes, modelled",
    notes: [
      "Of all fetching: late rows never hide, the prefetch runs beside the whole step. In brackets",
      "the share of the prefetch alone.",
    ],
    head: ["machine", "rows of a step and head", ...batches.map((batch) => `batch ${batch}`)],
    rows: machines.flatMap((machine) =>
      ways.map(([name, fetch]) => [
        machine.name,
        name,
        ...batches.map((batch) => {
          const codes = fetch === paperFetch ? settings.paper : settings.default;
          const question = { ...usual, codes, fetch, machine, instructions, batch };
          const step = modelStep({ ...question, tokens: 128 * K });
          const own = step.hiddenShare * (step.late + step.prefetch) / step.prefetch;
          return `${percent(step.hiddenShare)} (${percent(own)})`;
        }),
      ])
    ),
  };
}

function lengthText(tokens: number): string {
  return tokens >= K * K ? `${tokens / K / K}M` : `${tokens / K}K`;
}

function ms(seconds: number): string {
  const value = seconds * 1e3;
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
