// exit.test.ts - a program that ends while its engine decodes ends with its own status.
import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assertEquals, test } from "../harness.ts";

const program = fileURLToPath(new URL("exit_program.ts", import.meta.url));
const command = "Deno" in globalThis ? ["run", "--quiet", "-A", "--no-check"] : [];
const RUNS = 5; // where it crashed at all, six of ten did

test("a program that exits in the middle of decoding ends with its own status", () => {
  for (let run = 0; run < RUNS; run++) {
    const { status, signal, stderr } = spawnSync(process.execPath, [...command, program], {
      encoding: "utf8",
    });
    assertEquals({ status, signal, stderr }, { status: 3, signal: null, stderr: "" });
  }
});
