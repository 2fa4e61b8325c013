// main.ts - the command line: specache <command> [flags]. Errors are one sentence on standard
// error; exit status 2 for what the user can mend, 1 otherwise.
import process from "node:process";
import { generate, generateHelp } from "./cli/generate.ts";
import { plan, planHelp } from "./cli/plan.ts";
import { type ErrorCode, SpecacheError } from "./engine/errors.ts";

const commands: Record<string, (args: readonly string[]) => void | Promise<void>> = {
  generate,
  plan,
};

const mendable: readonly ErrorCode[] = ["argument", "capacity", "file", "unsupported", "data"];

async function run([name, ...args]: readonly string[]): Promise<void> {
  if (name === undefined || name === "--help" || name === "help") {
    process.stdout.write(`${generateHelp}\n${planHelp}`);
    return;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    const known = Object.keys(commands).join(", ");
    throw new SpecacheError("argument", `Cannot run: command ${name} is none of ${known}`);
  }
  await command(args);
}

const args = process.argv.slice(2);
try {
  await run(args);
} catch (error) {
  const known = error instanceof SpecacheError;
  const message = error instanceof Error ? error.message : String(error);
  const verbose = args.includes("--verbose") && error instanceof Error;
  process.stderr.write(`${verbose ? error.stack : message}\n`);
  process.exitCode = known && mendable.includes(error.code) ? 2 : 1;
}
