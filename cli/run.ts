// run.ts - runs a command line. Errors are one sentence on standard error; exit status 2 for what
// the user can mend, 1 otherwise.
import { type ErrorCode, SpecacheError } from "../engine/errors.ts";
import { refusedAs } from "../engine/system.ts";
import { version } from "../ffi/version.ts";
import { chat, chatFlags, chatHelp } from "./chat.ts";
import { doctor, doctorFlags, doctorHelp } from "./doctor.ts";
import { evalCommand, evalFlags, evalHelp } from "./eval.ts";
import { generate, generateFlags, generateHelp } from "./generate.ts";
import { models, modelsFlags, modelsHelp, remove, removeFlags, removeHelp } from "./models.ts";
import type { FlagKinds } from "./options.ts";
import type { Streams } from "./output.ts";
import { plan, planFlags, planHelp } from "./plan.ts";
import { profile, profileFlags, profileHelp } from "./profile.ts";
import { pullCommand, pullFlags, pullHelp } from "./pull.ts";
import { serve, serveFlags, serveHelp } from "./serve.ts";
import { toolchain, toolchainFlags, toolchainHelp } from "./toolchain.ts";
import { isDeviceMissing, sentenceOf } from "./words.ts";

interface Command {
  run(args: readonly string[], streams: Streams): Promise<number | void>;
  readonly flags: FlagKinds;
  readonly help: string;
}

const commands: Readonly<Record<string, Command>> = {
  generate: { run: generate, flags: generateFlags, help: generateHelp },
  chat: { run: chat, flags: chatFlags, help: chatHelp },
  serve: { run: serve, flags: serveFlags, help: serveHelp },
  plan: { run: plan, flags: planFlags, help: planHelp },
  profile: { run: profile, flags: profileFlags, help: profileHelp },
  eval: { run: evalCommand, flags: evalFlags, help: evalHelp },
  pull: { run: pullCommand, flags: pullFlags, help: pullHelp },
  models: { run: models, flags: modelsFlags, help: modelsHelp },
  rm: { run: remove, flags: removeFlags, help: removeHelp },
  toolchain: { run: toolchain, flags: toolchainFlags, help: toolchainHelp },
  doctor: { run: doctor, flags: doctorFlags, help: doctorHelp },
};

const mendable: readonly ErrorCode[] = ["argument", "capacity", "file", "unsupported", "data"];

/** Runs `args`, a command's name and its flags, and answers the exit status. */
export async function run(args: readonly string[], streams: Streams): Promise<number> {
  const [name = "--help", ...rest] = args;
  const command = Object.hasOwn(commands, name) ? commands[name] : null;
  try {
    if (command !== null) return await command.run(rest, streams) ?? 0; // its own: doctor's
    return helped(name, streams);
  } catch (error) {
    if (isOutputLost(error)) {
      streams.stderr.write(`Cannot write the output: it ${refusedAs(error, "written")}\n`);
      return 2;
    }
    const verbose = args.includes("--verbose");
    streams.stderr.write(`${sentenceOf(error, command?.flags ?? {}, verbose)}\n`);
    return statusOf(error);
  }
}

/** The exit status of an error. */
export function statusOf(error: unknown): number {
  if (!(error instanceof SpecacheError)) return 1;
  if (mendable.includes(error.code) || isDeviceMissing(error)) return 2;
  return error.cause instanceof SpecacheError ? statusOf(error.cause) : 1;
}

// Deno throws it, Bun emits it (main.ts); what fails of files of ours is a SpecacheError.
function isOutputLost(error: unknown): boolean {
  const { code = "", syscall } = error as { code?: string; syscall?: string };
  return ["ENOSPC", "EDQUOT", "EIO"].includes(code) && syscall === undefined;
}

function helped(name: string, { stdout }: Streams): number {
  if (name === "--version") {
    stdout.write(`specache ${version}\n`);
    return 0;
  }
  if (name !== "--help" && name !== "help") {
    const known = Object.keys(commands).join(", ");
    const shown = name || '""';
    throw new SpecacheError("argument", `Cannot run: command ${shown} is none of ${known}`);
  }
  stdout.write(Object.values(commands).map(({ help }) => help).join("\n"));
  return 0;
}
