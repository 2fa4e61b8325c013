// models.ts - `specache models` and `specache rm`: the models that were pulled.
import { SpecacheError } from "../engine/errors.ts";
import { table } from "../eval/table.ts";
import { listKept, modelsFolder, removeKept } from "../pull/kept.ts";
import { ALIASES, type ModelName, parseModelName } from "../pull/name.ts";
import { type FlagKinds, readFlags } from "./options.ts";
import { bytesText, type Streams } from "./output.ts";

const flag = { type: "boolean" } as const;

/** Flags of `models`. */
export const modelsFlags = { json: flag, help: flag, verbose: flag } as const;
/** Flags of `rm`. */
export const removeFlags = { help: flag, verbose: flag } as const;

/** Help of `models`. */
export const modelsHelp = `specache models - list the models that were pulled

  --json  --verbose  --help

  specache models
`;

/** Help of `rm`. */
export const removeHelp = `specache rm NAME - remove a model that was pulled, and its profile

  --verbose  --help

  specache rm smollm2-135m-instruct
`;

/** Runs `models`. */
export function models(args: readonly string[], { stdout, stderr }: Streams): Promise<void> {
  const flags = readFlags("list models", args, modelsFlags);
  if (flags.help) {
    stdout.write(modelsHelp);
    return Promise.resolve();
  }
  const kept = listKept();
  if (flags.json) {
    const shown = kept.map(({ name, path, commit, bytes }) => ({ name, path, commit, bytes }));
    stdout.write(JSON.stringify({ folder: modelsFolder(), models: shown }) + "\n");
  } else if (kept.length === 0) {
    stderr.write(`No models in ${modelsFolder()}; specache pull ${ALIASES[0]} fetches one\n`);
  } else {
    const rows = kept.map(({ name, bytes, commit, path }) => {
      return [name, bytesText(bytes), commit.slice(0, 12), path];
    });
    stdout.write(table([["name", "size", "revision", "path"], ...rows]) + "\n");
  }
  return Promise.resolve();
}

/** Runs `rm`. */
export async function remove(
  args: readonly string[],
  { stdout, stderr }: Streams,
): Promise<void> {
  const [name, rest] = nameOf("remove a model", args, removeFlags);
  if (readFlags("remove a model", rest, removeFlags).help) {
    stdout.write(removeHelp);
    return;
  }
  const { text } = name();
  const profile = await removeKept(name());
  stderr.write(`${text} is removed${profile === null ? "" : `, and its profile ${profile}`}\n`);
}

/**
 * Parts a command line into the one name on it and the flags; the name is judged when it is asked
 * for, so that --help needs none.
 */
export function nameOf(
  action: string,
  args: readonly string[],
  kinds: FlagKinds,
): [name: () => ModelName, flags: string[]] {
  const refuse = (sentence: string): never => {
    throw new SpecacheError("argument", `Cannot ${action}: ${sentence}`);
  };
  const [names, flags]: [string[], string[]] = [[], []];
  for (let at = 0; at < args.length; at++) {
    if (!args[at].startsWith("-")) {
      names.push(args[at]);
      continue;
    }
    flags.push(args[at]);
    const kind = Object.hasOwn(kinds, args[at].slice(2)) && kinds[args[at].slice(2)];
    if (kind && kind.type === "string" && at + 1 < args.length) flags.push(args[++at]);
  }
  const name = () => {
    if (names.length !== 1) {
      const wanted = `${ALIASES.join(", ")} or OWNER/MODEL[@REVISION]`;
      refuse(`${names.length} names are given, not 1 (${wanted})`);
    }
    const known = `neither ${ALIASES.join(", ")} nor OWNER/MODEL[@REVISION]`;
    return parseModelName(names[0]) ?? refuse(`name ${names[0] || '""'} is ${known}`);
  };
  return [name, flags];
}
