// run.ts - runs a command line. Errors are one sentence on standard error; exit status 2 for what
// the user can mend, 1 otherwise.
import { type ErrorCode, SpecacheError } from "../engine/errors.ts";
import { chat, chatHelp } from "./chat.ts";
import { doctor, doctorHelp } from "./doctor.ts";
import { evalCommand, evalHelp } from "./eval.ts";
import { generate, generateHelp } from "./generate.ts";
import { models, modelsHelp, remove, removeHelp } from "./models.ts";
import type { Streams } from "./output.ts";
import { plan, planHelp } from "./plan.ts";
import { profile, profileHelp } from "./profile.ts";
import { pullCommand, pullHelp } from "./pull.ts";
import { serve, serveHelp } from "./serve.ts";
import { toolchain, toolchainHelp } from "./toolchain.ts";

type Command = (args: readonly string[], streams: Streams) => Promise<number | void>;

const commands: Record<string, Command> = {
  ...{ generate, chat, serve, plan, profile, eval: evalCommand },
  ...{ pull: pullCommand, models, rm: remove },
  ...{ toolchain, doctor },
};
const helps = [
  ...[generateHelp, chatHelp, serveHelp, planHelp, profileHelp, evalHelp],
  ...[pullHelp, modelsHelp, removeHelp, toolchainHelp, doctorHelp],
];

const mendable: readonly ErrorCode[] = ["argument", "capacity", "file", "unsupported", "data"];

/** Runs `args`, a command's name and its flags, and answers the exit status. */
export async function run(args: readonly string[], streams: Streams): Promise<number> {
  try {
    return await runCommand(args, streams);
  } catch (error) {
    const verbose = args.includes("--verbose") && error instanceof Error;
    const message = error instanceof Error ? error.message : String(error);
    streams.stderr.write(`${verbose ? error.stack : message}\n`);
    return statusOf(error);
  }
}

/** The exit status of an error. */
export function statusOf(error: unknown): number {
  return error instanceof SpecacheError && mendable.includes(error.code) ? 2 : 1;
}

async function runCommand([name, ...args]: readonly string[], streams: Streams): Promise<number> {
  if (name === undefined || name === "--help" || name === "help") {
    streams.stdout.write(helps.join("\n"));
    return 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    const known = Object.keys(commands).join(", ");
    throw new SpecacheError("argument", `Cannot run: command ${name} is none of ${known}`);
  }
  return await command(args, streams) ?? 0; // a status of its own: doctor's
}
