// test_bun.ts - the same tests in Bun, fetched by Deno; a junit file as the argument.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import process from "node:process";

const report = process.argv[2];
const bun = ["x", "-y", "--allow-scripts=npm:bun", "npm:bun@1.4.5"];
const reporter = report ? ["--reporter=junit", `--reporter-outfile=${report}`] : [];
const folders = readdirSync("tests", { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== "long")
  .map(({ name }) => `./tests/${name}/`);
const { status } = spawnSync("deno", [...bun, "test", ...reporter, ...folders], {
  stdio: "inherit",
});
process.exitCode = status ?? 1;
