// mutants.test.ts - which mistakes are made of a PTX instruction, that the same seed draws the same
// ones, and that the translator writes each beside what is right.
import { drawMutants, plainName } from "../../cuda/emulator/mutants.ts";
import { translate } from "../../cuda/emulator/translate.ts";
import { mutationsOf } from "../../cuda/emulator/translate/mutations.ts";
import { assert, assertEquals, assertStringIncludes, test } from "../harness.ts";

const texts = (statement: string) => mutationsOf(statement).map(({ text }) => text);

test("mutationsOf() changes a comparison at its boundary, one of reals in its direction", () => {
  assertEquals(texts("setp.lt.u32 %p1, %r1, %r2"), [
    "setp.le.u32 %p1, %r1, %r2",
    "setp.ge.u32 %p1, %r1, %r2",
  ]);
  assertEquals(texts("setp.ne.s64 %p1, %rd1, %rd2"), ["setp.eq.s64 %p1, %rd1, %rd2"]);
  assertEquals(texts("setp.gtu.f32 %p1, %f1, %f2"), ["setp.ltu.f32 %p1, %f1, %f2"]);
});

test("mutationsOf() changes operations, constants and summands and keeps the types", () => {
  assertEquals(texts("@%p2 add.s32 %r1, %r2, -1"), [
    "@%p2 sub.s32 %r1, %r2, -1",
    "@%p2 add.s32 %r1, %r2, 0",
  ]);
  assertEquals(texts("add.u64 %rd1, %SP, 0"), ["add.u64 %rd1, %SP, 1"]);
  assertEquals(texts("shl.b64 %rd1, %rd2, %r3"), ["shr.u64 %rd1, %rd2, %r3"]);
  assertEquals(texts("fma.rn.f32 %f1, %f2, 0f40000000, %f3"), [
    "mul.rn.f32 %f1, %f2, 0f40000000",
    "add.rn.f32 %f1, %f2, %f3",
    "fma.rn.f32 %f1, %f2, 0f00000000, %f3",
  ]);
  assertEquals(texts("mov.f32 %f1, 0f00000000"), ["mov.f32 %f1, 0f3F800000"]);
});

test("mutationsOf() negates branches and leaves out barriers and stores", () => {
  assertEquals(texts("@%p1 bra $L__BB0_2"), ["@!%p1 bra $L__BB0_2"]);
  assertEquals(texts("@!%p1 bra $L__BB0_2"), ["@%p1 bra $L__BB0_2"]);
  assertEquals(texts("bar.sync 0"), [""]);
  assertEquals(texts("st.shared.v2.f32 [%r1+8], {%f1, %f2}"), [
    "st.shared.v2.f32 [%r1+12], {%f1, %f2}",
    "",
  ]);
});

test("mutationsOf() changes what warps do together", () => {
  const shuffle = (lane: number) => `shfl.sync.bfly.b32 %r1|%p1, %r2, ${lane}, 31, -1`;
  assertEquals(texts(shuffle(16)), [shuffle(8)]);
  assertEquals(texts(shuffle(1)), [shuffle(2)]);
  assertEquals(
    texts("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%r1, %r2}, {%r3}, {%r4}, {%r1, %r2}"),
    ["mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%r1, %r2}, {%r3}, {%r4}, {0, 0}"],
  );
  assertEquals(texts("atom.shared.add.u32 %r1, [%r2], 1"), ["atom.shared.max.u32 %r1, [%r2], 1"]);
});

test("mutationsOf() leaves alone what is not checked or does nothing by itself", () => {
  for (
    const statement of [
      "bra.uni $L__BB0_2",
      "ret",
      "ld.param.u64 %rd1, [one_param_0]",
      "mov.u32 %r1, %tid.x",
      ".reg .b32 %r<4>",
    ]
  ) assertEquals(texts(statement), []);
});

const lines = Array.from({ length: 40 }, (_, i) => `.loc 1 ${i + 1} 3\nadd.s32 %r1, %r1, ${i};`);
const ptx = `.version 9.0\n.target sm_80\n` +
  ["_ZN1a4longE6Things", "_ZN1a5shortEj"].map((name, i) =>
    `.visible .entry ${name}()\n{\n.reg .b32 %r<4>;\n${
      lines.slice(0, i === 0 ? 40 : 10).join("\n")
    }\nret;\n}\n`
  ).join("") + `.file 1 "/there/cuda/scan.cu"\n`;

test("drawMutants() draws the same for the same seed, of every kernel, no two in one place", () => {
  const draw = (seed: number) =>
    drawMutants([{ name: "scan.ptx", text: ptx }], { seed, count: 12 }, "/there");
  const mutants = draw(1);
  assertEquals(mutants, draw(1));
  assert(JSON.stringify(mutants) !== JSON.stringify(draw(2)));
  assert(mutants.length >= 12);
  assertEquals(mutants.map(({ id }) => id), mutants.map((_, i) => i + 1));
  assertEquals(new Set(mutants.map(({ at }) => at.join())).size, mutants.length);
  for (const kernel of ["long", "short"]) {
    assert(mutants.filter((mutant) => mutant.kernel === kernel).length >= 4);
  }
  assertEquals(mutants[0].place.file, "cuda/scan.cu");
});

test("translate() writes mutants of its module beside what is right", () => {
  const mutants = drawMutants([{ name: "scan.ptx", text: ptx }], { seed: 1, count: 8 }, "/there");
  const code = translate(ptx, "scan.ptx", "/there", mutants);
  for (const { id } of mutants) {
    assertStringIncludes(code, `if (mutant == ${id} && mutant_reached()) {`);
  }
  assert(!translate(ptx, "rows.ptx", "/there", mutants).includes("mutant"));
});

test("plainName() gives a kernel's own name, with the number that its template was given", () => {
  assertEquals(plainName("_ZN8specache4cuda3_x_11hide_exactsENS_6AttendE"), "hide_exacts");
  assertEquals(plainName("_ZN1a11project_rowILNS_4TypeE3EEEvNS_7ProjectE"), "project_row<3>");
  assertEquals(plainName("plain"), "plain");
});
