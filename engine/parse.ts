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
  const issue = faultOf(result.error.issues, input);
  const name = nameOf(issue.path);
  const value = valueAt(input, issue.path);
  throw new SpecacheError("argument", `Cannot ${action}: ${sentence(issue, name, value)}`, {
    details: { name: unknownKey(issue) ?? name, value: shown(value) },
  });
}

type Issue = z.core.$ZodIssue;

// One sentence: the first fault, or what is wrong within the one of several shapes that was tried;
// of several limits of a number the narrowest, since zod judges first whether it is a safe integer.
function faultOf(issues: readonly Issue[], input: unknown): Issue {
  const [first] = issues;
  if (first.code === "invalid_union" && isObject(valueAt(input, first.path))) {
    const within = first.errors.flat().find(({ path }) => path.length > 0);
    if (within?.code === "invalid_type") {
      return { ...within, path: [...first.path, ...within.path] };
    }
  }
  if (first.code === "invalid_union" && !isObject(valueAt(input, first.path))) {
    const limit = first.errors.flat().find(isOfNumber); // what a number must be is the nearest
    if (limit !== undefined) return { ...limit, path: [...first.path, ...limit.path] };
  }
  const same = issues.filter(({ path, code }) =>
    code === first.code && nameOf(path) === nameOf(first.path)
  );
  return same.reduce((a, b) => isNarrower(b, a) ? b : a);
}

function isNarrower(a: Issue, b: Issue): boolean {
  if (a.code === "too_big" && b.code === "too_big") return a.maximum < b.maximum;
  return a.code === "too_small" && b.code === "too_small" && a.minimum > b.minimum;
}

function isOfNumber(issue: Issue): boolean {
  if (issue.code === "invalid_type") return ["int", "number"].includes(issue.expected);
  return (issue.code === "too_small" || issue.code === "too_big") && issue.origin !== "string" &&
    issue.origin !== "array";
}

const isObject = (value: unknown) => typeof value === "object" && value !== null;

function unknownKey(issue: Issue): string | undefined {
  if (issue.code !== "unrecognized_keys") return undefined;
  return nameOf([...issue.path, shown(issue.keys[0])]);
}

function sentence(issue: Issue, name: string, value: unknown): string {
  if (issue.code === "unrecognized_keys") {
    const owner = issue.path.length === 0 ? "" : ` of ${name}`;
    return `option ${shown(issue.keys[0])}${owner} is not known`;
  }
  if (value === undefined) return `${name} is missing`;
  const quoted = issue.code === "invalid_type" && isNumeric(value); // else "2 is not a number"
  return `${name} ${quoted ? JSON.stringify(value) : shown(value)} ${relation(issue)}`;
}

const isNumeric = (value: unknown) =>
  typeof value === "string" && value.trim() !== "" && !Number.isNaN(Number(value)) &&
  value.length <= SHOWN_MAX;

function relation(issue: Issue): string {
  switch (issue.code) {
    case "too_small":
      if (issue.origin === "string" || issue.origin === "array") return "is empty";
      return issue.inclusive === false
        ? `is not above ${issue.minimum}`
        : `is below ${issue.minimum}`;
    case "too_big":
      if (issue.origin === "string") return `is longer than ${issue.maximum} characters`;
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
