// methods.ts - the answer to a method that a path does not take.
import type { Handler } from "hono";
import { RequestError } from "./errors.ts";

/** Refuses a request whose method is not `method`, which was asked before. */
export function only(method: "GET" | "POST"): Handler {
  const allow = method === "GET" ? "GET, HEAD" : method;
  return function refuseMethod(c) {
    const sentence = `Cannot answer: method ${c.req.method} of ${c.req.path} is not ${method}`;
    throw new RequestError(405, "method_not_allowed", sentence, null, { Allow: allow });
  };
}
