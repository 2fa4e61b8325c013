// methods.ts - the answer to a method that a path does not take.
import type { Handler } from "hono";
import { RequestError } from "./errors.ts";

type Method = "GET" | "POST" | "DELETE";

/** Refuses a request whose method is none of `methods`, which were asked before. */
export function only(...methods: readonly Method[]): Handler {
  const allow = methods.map((each) => each === "GET" ? "GET, HEAD" : each).join(", ");
  return function refuseMethod(c) {
    const { method, path } = c.req;
    const wanted = methods.length === 1 ? methods[0] : `one of ${methods.join(", ")}`;
    const sentence = `Cannot answer: method ${method} of ${path.slice(0, 100)} is not ${wanted}`;
    throw new RequestError(405, "method_not_allowed", sentence, null, { Allow: allow });
  };
}
