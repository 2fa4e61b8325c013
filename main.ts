/**
 * The command line: `specache <command> [flags]`. Importing it runs it with the
 * process's arguments.
 *
 * @module
 */
import process from "node:process";
import { run } from "./cli/run.ts";
import { refusedAs } from "./engine/system.ts";

// Whoever reads the output may stop reading, as head does: then there is nothing more to do. Output
// that is lost otherwise, as on a full disk, is an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit();
  process.stderr.write(`Cannot write the output: it ${refusedAs(error, "written")}\n`);
  process.exit(2);
});
process.exitCode = await run(process.argv.slice(2), process);
