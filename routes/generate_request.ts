// generate_request.ts - the bodies of our own API: options as TypeScript names them, without those
// that only the program itself can give.
import {
  type GenerateOptions,
  generateOptions,
  type PromptOptions,
  promptOptions,
} from "../engine/config_generate.ts";
import { SpecacheError } from "../engine/errors.ts";
import { parse } from "../engine/parse.ts";

/** Options that no body has: functions, and whose request it is, which its key tells. */
export const LOCAL_OPTIONS: readonly string[] = ["signal", "progress", "salt", "client"];

type Body = Readonly<Record<string, unknown>>;

/** A request to generate. */
export interface GenerateRequest {
  readonly options: GenerateOptions;
  /** Whether its tokens are told as they come. */
  readonly stream: boolean;
}

/**
 * Reads the body of a request to generate.
 *
 * @throws {SpecacheError} argument
 */
export function generateRequestOf(body: Body): GenerateRequest {
  const { stream = false, ...options } = body;
  if (typeof stream !== "boolean") {
    refuse("generate", "stream", `${JSON.stringify(stream).slice(0, 60)} is not a boolean`);
  }
  checkLocal("generate", options);
  return { options: parse(generateOptions, options, "generate"), stream };
}

/**
 * Reads the body of a request to append.
 *
 * @throws {SpecacheError} argument
 */
export function appendRequestOf(body: Body): PromptOptions {
  checkLocal("append", body);
  return parse(promptOptions, body, "append");
}

function checkLocal(action: string, body: Body): void {
  const name = LOCAL_OPTIONS.find((each) => Object.hasOwn(body, each));
  if (name !== undefined) refuse(action, name, "is no option of a request");
}

function refuse(action: string, name: string, fault: string): never {
  throw new SpecacheError("argument", `Cannot ${action}: ${name} ${fault}`, { details: { name } });
}
