// call_json.ts - calls of tools out of the JSON that models write.

/** A call: the arguments are JSON of an object. */
export interface Call {
  readonly name: string;
  readonly arguments: string;
}

/** The calls that a JSON object or list is, all of them of `names`; null: it is none. */
export function callsIn(json: string, names: ReadonlySet<string>): readonly Call[] | null {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return null;
  }
  const list = Array.isArray(value) ? value : [value];
  const calls = list.map(callOf);
  if (list.length === 0 || calls.some((call) => call === null || !names.has(call.name))) {
    return null;
  }
  return calls as Call[];
}

// {"name", "arguments"} or {"name", "parameters"}, maybe in {"type": "function", "function"}.
function callOf(value: unknown): Call | null {
  if (!isObject(value)) return null;
  if (isObject(value.function)) return callOf(value.function);
  const { name, arguments: given = value.parameters ?? {} } = value;
  const object = typeof given === "string" ? parsed(given) : given;
  if (typeof name !== "string" || !isObject(object)) return null;
  return { name, arguments: JSON.stringify(object) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
