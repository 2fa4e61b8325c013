// json.ts - the small files beside a model's weights.
import { SpecacheError } from "../errors.ts";
import { withFile } from "./bytes.ts";
import { broken } from "./faults.ts";

const BYTES_MAX = 256 * 1024 * 1024; // the largest tokenizer.json known has about 30 MB

/** The text of a small file; a file that cannot be read is a SpecacheError. */
export function readText(path: string): string {
  return withFile(path, (file) => {
    if (file.size > BYTES_MAX) broken(path, `${file.size} bytes are above ${BYTES_MAX}`);
    return new TextDecoder().decode(file.read(0, file.size));
  });
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
      `Cannot open model: ${path} is not JSON (${(cause as Error).message})`,
      { cause, details: { path } },
    );
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  return broken(path, "is not a JSON object");
}
