// empty.ts - the body of a request that has nothing to say.
import { z } from "zod";
import { parse } from "../engine/parse.ts";

/** A body without fields. */
export const nothing: z.ZodType<object> = z.strictObject({});

/**
 * Refuses a body with fields.
 *
 * @throws {SpecacheError} argument
 */
export function checkEmpty(action: string, body: object): void {
  parse(nothing, body, action);
}
