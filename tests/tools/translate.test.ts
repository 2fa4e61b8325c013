// translate.test.ts - what the translator of PTX refuses, and that it says where.
import { translate } from "../../cuda/emulator/translate.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { assertStringIncludes, assertThrows, test } from "../harness.ts";

const kernel = (body: string) =>
  `.version 9.0\n.target sm_80\n.visible .entry one(.param .u32 one_param_0)\n{\n` +
  `.reg .b32 %r<4>;\n.loc 1 17 3\n${body}\nret;\n}\n.file 1 "/there/cuda/scan.cu"\n`;

test("translate() names the .cu line of each instruction", () => {
  const code = translate(kernel("add.s32 %r1, %r2, 5;"), "scan.ptx", "/there");
  assertStringIncludes(code, '#line 17 "cuda/scan.cu"');
  assertStringIncludes(code, "add_<int32_t>");
});

test("translate() refuses an unknown instruction or modifier, with file and line", () => {
  for (const text of ["frobnicate.b32 %r1, %r2;", "add.cc.u32 %r1, %r2, %r3;"]) {
    assertThrows(
      () => translate(kernel(text), "scan.ptx", "/there"),
      SpecacheError,
      "cuda/scan.cu:17: instruction",
    );
  }
});
