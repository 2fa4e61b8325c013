// query.ts - the query string of a request as an object.
import { RequestError } from "./errors.ts";

/**
 * The fields of a query string.
 *
 * @throws {RequestError} 400: a field is given twice
 */
export function queryOf(request: Request, action: string): Readonly<Record<string, string>> {
  const fields = [...new URL(request.url).searchParams];
  const query = Object.fromEntries(fields);
  if (fields.length === Object.keys(query).length) return query;
  const names = fields.map(([name]) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at)!.slice(0, 60);
  const sentence = `Cannot ${action}: ${twice} is given more than once`;
  throw new RequestError(400, "argument", sentence, twice);
}
