/**
 * The command line: `specache <command> [flags]`. Importing it runs it with the
 * process's arguments.
 *
 * @module
 */
import process from "node:process";
import { run } from "./cli/run.ts";

// Whoever reads the output may stop reading, as head does: then there is nothing more to do.
process.stdout.on("error", () => process.exit());
process.exitCode = await run(process.argv.slice(2), process);
