// test_bun.ts - the same tests in Bun, fetched by Deno; a junit file as the argument.
import { spawnSync } from "node:child_process";
import process from "node:process";

const report = process.argv[2];
const bun = ["x", "-y", "--allow-scripts=npm:bun", "npm:bun@1.4.5"];
const reporter = report ? ["--reporter=junit", `--reporter-outfile=${report}`] : [];
const args = [...bun, "test", ...reporter, "./tests/"];
const { status } = spawnSync("deno", args, {
  stdio: "inherit",
  env: { ...process.env, SPECACHE_GATE: "1" },
});
process.exitCode = status ?? 1;
