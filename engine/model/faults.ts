// faults.ts - how a broken or unknown model file is refused: by file, fault and limit.
import { readFileSync } from "node:fs";
import { SpecacheError } from "../errors.ts";

/** Refuses a file whose content is wrong. */
export function broken(path: string, fault: string, details: Record<string, unknown> = {}): never {
  throw new SpecacheError("file", `Cannot open model: ${path}: ${fault}`, {
    details: { path, ...details },
  });
}

/** Refuses what is known but not offered. */
export function unsupported(path: string, what: string): never {
  throw new SpecacheError("unsupported", `Cannot open model: ${path}: ${what}`, {
    details: { path },
  });
}

/** Refuses a file that the system does not let us read. */
export function unreadable(path: string, cause: unknown): never {
  throw new SpecacheError("file", `Cannot open model: ${path}: ${(cause as Error).message}`, {
    cause,
    details: { path },
  });
}

/** The text of a small file; a file that cannot be read is a SpecacheError. */
export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    return unreadable(path, cause);
  }
}

/** A JSON object out of a file. */
export function readJson(path: string): Record<string, unknown> {
  const text = readText(path);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SpecacheError(
      "file",
      `Cannot open model: ${path} is not JSON: ${(cause as Error).message}`,
      { cause, details: { path } },
    );
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  return broken(path, "is not a JSON object");
}
