// budgets.test.ts - what is read of ptxas' report, a cubin and a launch, the warps that fit, and
// what the check of budgets refuses.
import { elfSections } from "../../tools/budgets/elf.ts";
import { hotLoops, perToken, prefillLoops } from "../../tools/budgets/hot.ts";
import { readLaunches } from "../../tools/budgets/launches.ts";
import { occupancy } from "../../tools/budgets/occupancy.ts";
import { kernelName, parsePtxas } from "../../tools/budgets/ptxas.ts";
import { confirmControls, countCode, findLoops } from "../../tools/budgets/sass.ts";
import { againstTable, overLimits, type Row } from "../../tools/budgets/table.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { assertEquals, assertStringIncludes, assertThrows, test } from "../harness.ts";

const symbol = "_ZN8specache4cuda39_GLOBAL__N__0ab07333_7_scan_cu_a7287d1a10scan_pagesENS_4ScanE";

/** A report as nvcc 13.5 writes it. */
function report(frame: string, used: string): string {
  return [
    "ptxas info    : 0 bytes gmem",
    `ptxas info    : Compiling entry function '${symbol}' for 'sm_90'`,
    `ptxas info    : Function properties for ${symbol}`,
    `    ${frame}`,
    `ptxas info    : Used ${used}`,
    "ptxas info    : Compile time = 74.817 ms",
  ].join("\n");
}

function row(changes: Partial<Row>): Row {
  return {
    ...{ source: "cuda/scan.cu", kernel: "a_kernel", target: 90, threads: 128, registers: 32 },
    ...{ spillBytes: 0, stackBytes: 0, sharedBytes: 1024, barriers: 1, instructions: 1000 },
    ...{
      globalLoads: 1,
      wideLoads: 0,
      genericLoads: 0,
      products: 0,
      halfProducts: 0,
      warps: 64,
      warpShare: 1,
    },
    ...{ limitedBy: "warps", ...changes },
  };
}

/** Words of 16 bytes: [opcode, other bits]. */
function code(...words: readonly (readonly [number, bigint])[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(words.length * 16));
  words.forEach(([opcode, bits], i) => {
    const word = BigInt(opcode) | bits;
    view.setBigUint64(i * 16, BigInt.asUintN(64, word), true);
    view.setBigUint64(i * 16 + 8, BigInt.asUintN(64, word >> 64n), true);
  });
  return new Uint8Array(view.buffer);
}

const wide = 6n << 73n;
const branch = (words: bigint) => BigInt.asUintN(48, words >> 8n) << 34n | (words & 0xffn) << 16n;
const trap: readonly [number, bigint] = [0x947, branch(-4n)];
const padding: readonly [number, bigint] = [0x918, 0n];

test("parsePtxas() reads registers, spills, stack, shared memory and barriers", () => {
  const text = report(
    "16 bytes stack frame, 16 bytes spill stores, 32 bytes spill loads",
    "72 registers, used 1 barriers, 16 bytes cumulative stack size, 10336 bytes smem",
  );
  assertEquals(parsePtxas(text), [{
    ...{ symbol, registers: 72, stackBytes: 16, spillBytes: 48, sharedBytes: 10336, barriers: 1 },
  }]);
  const least = parsePtxas(report("0 bytes stack frame, 0 bytes spill stores", "18 registers"));
  assertEquals(least.map(({ spillBytes, sharedBytes }) => [spillBytes, sharedBytes]), [[0, 0]]);
});

test("parsePtxas() counts the spills of a function that the kernel calls", () => {
  const called = "ptxas info    : Function properties for f\n" +
    "    8 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads";
  const text = `${report("0 bytes stack frame, 0 bytes spill stores", "18 registers")}\n${called}`;
  assertEquals(parsePtxas(text).map(({ spillBytes }) => spillBytes), [12]);
});

test("parsePtxas() refuses a kernel without registers", () => {
  const text = report("0 bytes stack frame", "no registers");
  assertThrows(() => parsePtxas(text), SpecacheError, "no registers");
});

test("kernelName() is the source's name, with a template's argument", () => {
  assertEquals(kernelName(symbol), "scan_pages");
  assertEquals(
    kernelName("_ZN4cuda1A11project_rowILNS_4TypeE5EEEvNS_7ProjectEb"),
    "project_row<5>",
  );
  assertEquals(
    kernelName("_ZN4cuda1A12attend_chunkILNS_4TypeE2ELj128EEEvNS_13PrefillAttendE"),
    "attend_chunk<2, 128>",
  );
  assertEquals(kernelName("_Z6gentlei"), "gentle");
  assertEquals(kernelName("control_copy"), "control_copy");
});

test("elfSections() refuses what is no whole ELF file", () => {
  for (
    const bytes of [new Uint8Array(0), new Uint8Array(64), new TextEncoder().encode("\x7fELF")]
  ) {
    assertThrows(() => elfSections(bytes), SpecacheError, "not a whole 64-bit ELF file");
  }
});

test("countCode() counts words by opcode, the padding behind them apart", () => {
  const text = code([0x981, wide], [0x981, 4n << 73n], [0x980, 0n], [0x237, 0n], trap, padding);
  const counts = countCode(text, 90);
  assertEquals(counts.instructions, 5);
  assertEquals([counts.globalLoads, counts.wideLoads, counts.genericLoads], [2, 1, 1]);
  assertEquals([counts.products, counts.barriers], [1, 0]);
  assertThrows(() => countCode(text.subarray(8), 90), SpecacheError, "no whole number");
});

test("findLoops() finds what a branch back repeats, and nothing in a trap", () => {
  const later = code([0xb82, 0n], [0xf89, 0n], [0x947, branch(-8n)], trap);
  assertEquals(findLoops(later, 90).map(({ first, last }) => [first, last]), [[1, 2]]);
  const earlier = code([0xb82, 0n], [0xf89, 0n], [0x947, BigInt.asUintN(48, -8n) << 34n]);
  assertEquals(findLoops(earlier, 80).map(({ shuffles, depth }) => [shuffles, depth]), [[1, 0]]);
});

test("confirmControls() refuses a compiler whose code is another", () => {
  assertThrows(() => confirmControls(new Map(), 90), SpecacheError, "control_copy has no such");
  const copy = new Map([[".text.control_copy", code([0x982, wide], [0x986, wide])]]);
  assertThrows(() => confirmControls(copy, 90), SpecacheError, "0 globalLoads, not 1");
});

// As cuda_occupancy.h of CUDA 13 answers: target, registers, shared bytes, threads, blocks.
test("occupancy() gives the blocks that NVIDIA's calculator gives", () => {
  const known = [
    ...[[80, 80, 10336, 128, 6], [90, 72, 10336, 128, 7], [120, 80, 10336, 128, 6]],
    ...[[80, 52, 24832, 128, 6], [90, 52, 24832, 128, 9], [120, 52, 24832, 128, 3]],
    ...[[80, 64, 39368, 128, 4], [90, 59, 39368, 128, 5], [120, 56, 39368, 128, 2]],
    ...[[80, 24, 128, 256, 8], [120, 24, 128, 256, 6], [90, 40, 20000, 256, 6]],
  ];
  for (const [target, registers, sharedBytes, threads, blocks] of known) {
    assertEquals(occupancy({ registers, sharedBytes, threads }, target).blocks, blocks);
  }
  const { warps, share, limitedBy } = occupancy(
    { registers: 52, sharedBytes: 24832, threads: 128 },
    120,
  );
  assertEquals([warps, share, limitedBy], [12, 0.25, "shared memory"]);
  const needs = { registers: 16, sharedBytes: 0, threads: 128 };
  assertThrows(() => occupancy(needs, 70), SpecacheError, "sm_70");
});

test("readLaunches() finds threads by number or constant, and dynamic shared memory", () => {
  const source = "constexpr uint32_t tile_rows = 64, tile_threads = 256;\n" +
    "one<<<dim3(a, b(c, d)), tile_threads, 0, queue(stream)>>>(x);\n" +
    "two<type><<<blocks, lanes, bytes_of(a, b), queue(stream)>>>(x);\n" +
    "three<<<blocks, unknown>>>(x);";
  const launches = readLaunches(source, ["constexpr uint32_t lanes = 32;  // of a warp"]);
  assertEquals([...launches], [
    ["one", { threads: 256, dynamicShared: false }],
    ["two", { threads: 32, dynamicShared: true }],
  ]);
});

test("overLimits() refuses a spill, and what passes a stated limit", () => {
  assertEquals(overLimits([row({})]), []);
  const [spill] = overLimits([row({ spillBytes: 4 })]);
  assertEquals(spill, "a_kernel on sm_90: 4 spillBytes are above 0");
  assertStringIncludes(overLimits([row({ registers: 65 })])[0], "65 registers are above 64");
  assertStringIncludes(overLimits([row({ sharedBytes: 49152 })])[0], "sharedBytes are above");
  assertStringIncludes(overLimits([row({ stackBytes: 8 })])[0], "8 stackBytes are above 0");
  assertStringIncludes(overLimits([row({ warps: 12, warpShare: 0.1875 })])[0], "12 warps, 19 %");
});

test("againstTable() refuses growth above a tenth, new kernels and lost ones", () => {
  const table = { nvcc: "13.5.37", kernels: [row({})], hot: [], prefill: [] };
  const against = (rows: Row[], nvcc = table.nvcc) => againstTable(rows, table, nvcc);
  assertEquals(against([row({ instructions: 1100 })]), []);
  assertStringIncludes(against([row({ instructions: 1101 })])[0], "1101 instructions are above");
  assertEquals(against([row({ instructions: 9000 })], "14.0.1"), []);
  assertEquals(against([row({}), row({ kernel: "new" })]), [
    "new of cuda/scan.cu on sm_90 is not in the table",
  ]);
  assertStringIncludes(against([row({ kernel: "new" })])[1], "there is no such kernel");
  assertEquals(against([]), []); // of another target alone
});

test("perToken() sums a kernel's loops, and knows nothing where one is not found", () => {
  const loop = { kernel: "k", what: "", why: "", instructions: 20, times: 4 };
  assertEquals(perToken([loop, { ...loop, instructions: 8, times: 0.25 }], "k"), 82);
  assertEquals(perToken([loop, { ...loop, instructions: null }], "k"), null);
  assertEquals(perToken([loop], "another"), null);
  assertEquals(hotLoops([]), []);
  assertEquals(prefillLoops([]), []);
});
