// parse.ts - turns what zod found wrong into one sentence: "Cannot <action>: <name> <value> ...".

import { inspect } from "node:util";
import type { z } from "zod";
import { SpecacheError } from "./errors.ts";

/**
 * Answers `input` as `schema` types it.
 *
 * @throws {SpecacheError} `argument`, naming option, value and limit.
 */
export function parse<T>(schema: z.ZodType<T>, input: unknown, action: string): T {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const issue = result.error.issues[0]; // one sentence: the first fault
  const name = nameOf(issue.path);
  const value = valueAt(input, issue.path);
  throw new SpecacheError("argument", `Cannot ${action}: ${sentence(issue, name, value)}`, {
    details: { name: unknownKey(issue) ?? name, value: shown(value) },
  });
}

type Issue = z.core.$ZodIssue;

function unknownKey(issue: Issue): string | undefined {
  if (issue.code !== "unrecognized_keys") return undefined;
  return nameOf([...issue.path, issue.keys[0]]);
}

function sentence(issue: Issue, name: string, value: unknown): string {
  if (issue.code === "unrecognized_keys") {
    const owner = issue.path.length === 0 ? "" : ` of ${name}`;
    return `option ${issue.keys[0]}${owner} is not known`;
  }
  if (value === undefined) return `${name} is missing`;
  return `${name} ${shown(value)} ${relation(issue)}`;
}

function relation(issue: Issue): string {
  switch (issue.code) {
    case "too_small":
      if (issue.origin === "string" || issue.origin === "array") return "is empty";
      return issue.inclusive === false
        ? `is not above ${issue.minimum}`
        : `is below ${issue.minimum}`;
    case "too_big":
      return `is above ${issue.maximum}`;
    case "not_multiple_of":
      return `is not a multiple of ${issue.divisor}`;
    case "invalid_value":
      return `is none of ${issue.values.join(", ")}`;
    case "invalid_type":
      return `is not ${expected(issue.expected)}`;
    default:
      return issue.message;
  }
}

function expected(type: string): string {
  if (type === "int") return "an integer";
  const article = /^[aeiou]/.test(type) ? "an" : "a";
  return `${article} ${type}`;
}

function nameOf(path: readonly PropertyKey[]): string {
  if (path.length === 0) return "options";
  return path.map((part, at) =>
    typeof part === "number" ? `[${part}]` : at ? `.${String(part)}` : part
  )
    .map(String).join("");
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, part) => (value as Record<PropertyKey, unknown> | undefined)?.[part],
    input,
  );
}

const SHOWN_MAX = 60; // characters of a value in a sentence
const ONE_LINE = { breakLength: Infinity, compact: true };

function shown(value: unknown): string {
  const text = typeof value === "string" ? value.replaceAll(/\s+/g, " ") : inspect(value, ONE_LINE);
  return text.length <= SHOWN_MAX ? text || '""' : `${text.slice(0, SHOWN_MAX)}...`;
}
