// faults.ts - how a broken or unknown model file is refused: by file, fault and limit.
import { SpecacheError } from "../errors.ts";
import { refusedAs } from "../system.ts";

// What begins with a verb is said of the file itself, all else of what is in it.
const VERB = /^(is|does|has|ends|names|may|cannot)\b/;
const said = (path: string, fault: string) =>
  `Cannot open model: ${path}${VERB.test(fault) ? "" : ":"} ${fault}`;

/** Refuses a file whose content is wrong. */
export function broken(path: string, fault: string, details: Record<string, unknown> = {}): never {
  throw new SpecacheError("file", said(path, fault), {
    details: { path, ...details },
  });
}

/** Refuses what is known but not offered. */
export function unsupported(path: string, what: string): never {
  throw new SpecacheError("unsupported", said(path, what), {
    details: { path },
  });
}

/** Refuses a file that the system does not let us read. */
export function unreadable(path: string, cause: unknown): never {
  throw new SpecacheError("file", said(path, refusedAs(cause, "read")), {
    cause,
    details: { path },
  });
}

/** An untrusted value as a sentence shows it. */
export function shown(value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
