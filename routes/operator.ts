// operator.ts - who may read what the server does for all its tenants together: counters of the
// whole engine tell each of them what the others do. Whoever runs the server may, and who is alone.
import type { Context, MiddlewareHandler } from "hono";
import { RequestError } from "./errors.ts";

const WHY_NOT = "whyNoOperator";

/** Keeps why a request is not the operator's; null: it is. */
export function setOperator(c: Context, whyNot: string | null): void {
  c.set(WHY_NOT, whyNot);
}

/** Whether a request is the operator's; one that nothing was said of is not. */
export function isOperator(c: Context): boolean {
  return c.get(WHY_NOT) === null;
}

/** Lets the operator pass. */
export const operatorAlone: MiddlewareHandler = async (c, next) => {
  if (!isOperator(c)) {
    const sentence = `Cannot answer: ${c.req.path} tells of all keys together, ${c.get(WHY_NOT)}`;
    throw new RequestError(403, "operator_only", sentence);
  }
  await next();
};

/** Why a key is not the operator's, where another is. */
export const OTHER_KEY = "and this one is none of the operator's (--operator-key-file, or the " +
  "option operatorKeys)";

/** Why no key is. */
export const NO_OPERATOR = "and none is the operator's: name one by --operator-key-file, or the " +
  "option operatorKeys";

/** Why an operator's key is not, where its request is made for a tenant. */
export const FOR_TENANT = "and the header Specache-Tenant names one tenant: an operator's key " +
  "(--operator-key-file) goes without it";
