// path.ts - what --model means: a path, or the name of a model that was pulled.
import { existsSync } from "node:fs";
import { SpecacheError } from "../engine/errors.ts";
import { findKept } from "./kept.ts";
import { parseModelName } from "./name.ts";

/**
 * The path that `model` means: itself where that exists, else that of the pulled model of this
 * name. What is no name comes back as it is: whoever opens it says what is wrong.
 *
 * @throws {SpecacheError} file: a name that is not pulled yet
 */
export function modelPath(model: string): string {
  if (model.includes("\0") || existsSync(model)) return model;
  const name = parseModelName(model);
  if (name === null) return model;
  const kept = findKept(name);
  if (kept !== null) return kept.path;
  const sentence = name.hub === null ? "is not fetched yet" : "does not exist, and is not fetched";
  throw new SpecacheError(
    "file",
    `Cannot open model: ${model} ${sentence}; fetch it: specache pull ${name.text}`,
    { details: { path: model } },
  );
}
