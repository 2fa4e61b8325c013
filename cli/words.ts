// words.ts - an error's sentence in the words of the command line: where the engine names an
// option, a command names the flag that gave it.
import { SpecacheError } from "../engine/errors.ts";
import { answerOf, meaningOf } from "./doctor/machine.ts";
import type { FlagKinds } from "./options.ts";

// Options whose flag has another name than theirs with hyphens; the first that a command has.
const flagsOf: Readonly<Record<string, readonly string[]>> = {
  contextTokens: ["context", "tokens"],
  poolTokens: ["pool"],
  nearBytes: ["near"],
  "far.bytes": ["far-bytes"],
  "far.file": ["far"],
  "late.above": ["late"],
  guessesMax: ["guesses"],
  hostname: ["host"],
  ids: ["ids-file"],
};

// What no flag is given as, and what the engine says of options beside the one at fault.
const phrases: readonly (readonly [RegExp, string])[] = [
  [/\{ above: 0\.\.1 \}/, "a number from 0 to 1"],
  [/ needs late all$/, " needs --late all"],
  [/: (near|far) memory needs .+$/, "$&; specache plan tells what would fit"],
  [/, so ids must be given$/, ", so --ids-file must be given"],
  [/ without audit$/, " without --audit"],
  [/ without device cuda$/, " without --device cuda"],
  [/ with device cuda$/, " with --device cuda"],
  [
    / needs a profile of the model$/,
    " needs a profile of the model, which --profile auto measures in mode specache, by a tokenizer",
  ],
  [
    /: device cuda has no far memory.+$/,
    ": --device cuda has no far file; leave out --far",
  ],
  [/: device cuda has no audits$/, ": --device cuda has no audits; leave out --audit"],
  [/: far file (.+) exists: .+$/s, ": --far $1 exists; name a new file"],
  [
    /: far file (.+): No such file or directory$/s,
    ": --far $1 is in a folder that does not exist; make it first",
  ],
  [/: far file (.+): Permission denied$/s, ": --far $1 may not be written by this user"],
  [/: far file (.+): Not a directory$/s, ": --far $1 has a file where its path wants a folder"],
  [/: far file (.+ needs \d+ bytes, .+): (.+)$/s, ": --far $1 ($2)"],
  [/: far file (.+): (.+)$/s, ": --far $1 cannot be made ($2)"],
  [/: far file /, ": --far "],
];

/** The sentence of an error of a command with these flags; `verbose`: and where it came from. */
export function sentenceOf(error: unknown, flags: FlagKinds, verbose = false): string {
  if (!(error instanceof Error)) return String(error);
  const sentence = error instanceof SpecacheError ? said(error, flags) : error.message;
  return verbose ? error.stack?.replace(error.message, () => sentence) ?? sentence : sentence;
}

function said(error: SpecacheError, flags: FlagKinds): string {
  const { message, details } = error;
  const [, head, rest] = message.match(/^(Cannot [^:]+: )(.*)$/s) ?? [];
  if (rest === undefined) return message;
  const subject = typeof details.name === "string" ? details.name : null;
  // In a chat it was no flag that was given: "Cannot set /top-k: top-k 2.5 is not an integer".
  const slash = head.match(/^Cannot set \/(\S+): $/)?.[1];
  const flag = subject === null ? null : slash ?? flagOf(subject, flags);
  const known = flag !== null && rest.startsWith(`${subject} `);
  // The user's own value stays as it is, whatever it is like.
  const value = known && rest.startsWith(`${subject} ${details.value} `) ? ` ${details.value}` : "";
  // What a model's or profile's file says of itself has names of its own.
  const ofFile = /^Cannot (open model|read profile): $/.test(head);
  const begun = known ? subject!.length + value.length : 0;
  const named = head + (known ? flag + value : "") +
    (ofFile ? rest : inFlags(rest.slice(begun), flags));
  const sentence = [...phrases, ...templatePhrases(flags)].reduce(
    (text, [from, to]) => text.replace(from, to),
    named,
  );
  return isDeviceMissing(error) ? withoutDevice(sentence) : sentence;
}

function withoutDevice(sentence: string): string {
  const advice = "specache doctor tells what is missing, --device cpu goes without";
  const [, head, rest] = sentence.match(/^(.*?: )device cuda:? (.*)$/)!;
  const { code, name } = answerOf(sentence);
  const what = code === null
    ? rest.replaceAll(": ", ", ")
    : `answers ${code} ${name}, ${meaningOf(code).meaning}`;
  return `${head}--device cuda ${what}; ${advice}`;
}

/** Whether a device was asked for that this machine does not have. */
export function isDeviceMissing({ code, message }: SpecacheError): boolean {
  return code === "device" && /^Cannot [^:]+: device cuda\b/.test(message);
}

// A command that has no prompt can only be given a template.
function templatePhrases(flags: FlagKinds): typeof phrases {
  const instead = Object.hasOwn(flags, "prompt")
    ? " must be given or --chat left out"
    : " must be given";
  return [[/(?<=--chat-template) or a prompt must be given$/, instead]];
}

// Names that no sentence holds by chance.
function inFlags(text: string, flags: FlagKinds): string {
  return text.replaceAll(/(?<=^|[ (])[a-z]+(?:[A-Z][a-z]+|\.[a-z]+)+(?=[ ,;)]|$)/g, (word) => {
    return flagOf(word, flags) ?? word;
  });
}

// An element is named by its list: the user gave the flag again, or a list.
function flagOf(option: string, flags: FlagKinds): string | null {
  const [, name, place] = option.match(/^(.*?)(\[\d+\])?$/)!;
  const hyphened = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const own = (Object.hasOwn(flagsOf, name) ? flagsOf[name] : [hyphened])
    .find((flag) => Object.hasOwn(flags, flag));
  return own === undefined ? null : `--${own}${own === "ids-file" && place ? place : ""}`;
}
