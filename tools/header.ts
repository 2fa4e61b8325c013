// header.ts - reads native/specache.h and compares it with the tables of ffi/, name by name and
// number by number, so that neither can change alone.
import {
  abiVersion,
  auditSums,
  farAccess,
  planParts,
  roles,
  statsCounters,
  statuses,
} from "../ffi/constants.ts";
import { type FieldType, structs } from "../ffi/structs.ts";
import { type AbiFunction, symbols } from "../ffi/symbols.ts";

/** A C header, as far as the tables say the same. */
export interface Header {
  readonly version: number;
  /** C names of the fields, in order, by struct. */
  readonly structs: Readonly<Record<string, readonly string[]>>;
  /** Values by name, enum by enum. */
  readonly enums: readonly Readonly<Record<string, number>>[];
  readonly functions: Readonly<Record<string, AbiFunction>>;
}

const ELEMENTS: Readonly<Record<string, string>> = {
  uint8_t: "u8",
  uint32_t: "u32",
  uint64_t: "u64",
  int32_t: "i32",
  float: "f32",
  double: "f64",
};

/** Reads a header; throws a plain Error at what it does not know. */
export function readHeader(source: string): Header {
  const text = source.replace(/\/\*.*?\*\//gs, " ").replace(/\/\/.*$/gm, " ");
  const structsRead: Record<string, string[]> = {};
  for (const [, body, name] of text.matchAll(/typedef struct \w+\s*\{(.*?)\}\s*(\w+);/gs)) {
    structsRead[name] = [...body.matchAll(/uint32_t\s+([^;]+);/g)]
      .flatMap(([, names]) => names.split(",").map((each) => each.trim()));
  }
  const enums = [...text.matchAll(/enum\s*\w*\s*\{(.*?)\}/gs)].map(([, body]) =>
    Object.fromEntries(
      [...body.matchAll(/(\w+)\s*=\s*(\d+)/g)].map(([, name, value]) => [name, Number(value)]),
    )
  );
  const functions: Record<string, AbiFunction> = {};
  const declarations = text.matchAll(/^(u?int32_t)\s+(\w+)\s*\(([^)]*)\)\s*;/gm);
  for (const [, returns, name, args] of declarations) {
    functions[name] = {
      args: args.trim() === "void" ? [] : args.split(",").map((arg) => abiType(arg, structsRead)),
      returns: ELEMENTS[returns],
    } as AbiFunction;
  }
  const version = Number(text.match(/#define SPECACHE_ABI_VERSION (\d+)u/)?.[1]);
  return { version, structs: structsRead, enums, functions };
}

/** Sentences about every difference between `header` and the tables. */
export function compareHeader(header: Header): string[] {
  const tables = [statuses, planParts, statsCounters, farAccess, auditSums, roles];
  const prefixes = [
    "SPECACHE_",
    "SPECACHE_PLAN_",
    "SPECACHE_STATS_",
    "SPECACHE_FAR_",
    "SPECACHE_AUDIT_",
    "SPECACHE_",
  ];
  return [
    ...differences("SPECACHE_ABI_VERSION", header.version, abiVersion),
    ...differences("functions", Object.keys(header.functions), Object.keys(symbols)),
    ...Object.entries(symbols).flatMap(([name, table]) =>
      differences(name, header.functions[name], table)
    ),
    ...differences("structs", Object.keys(header.structs), Object.keys(structs)),
    ...Object.entries(structs).flatMap(([name, table]) =>
      differences(name, header.structs[name], Object.entries(table).flatMap(fieldsInC))
    ),
    ...differences("enums", header.enums.length, tables.length),
    ...tables.flatMap((table, index) =>
      differences(`enum ${index}`, header.enums[index], enumInC(table, prefixes[index]))
    ),
  ];
}

function abiType(arg: string, structsRead: Readonly<Record<string, unknown>>): string {
  const words = arg.replace("const ", "").trim();
  const [type, pointer] = [words.match(/^\w+/)?.[0] ?? "", words.includes("*")];
  if (type in structsRead && pointer) return "u32[]";
  if (!(type in ELEMENTS)) throw new Error(`Cannot read the header: type ${type} is not known`);
  return pointer ? `${ELEMENTS[type]}[]` : ELEMENTS[type];
}

function fieldsInC([name, type]: [string, FieldType]): string[] {
  const field = snake(name);
  if (type === "u64" || type === "f64") return [`${field}_low`, `${field}_high`];
  return [type === "f32" ? `${field}_bits` : field];
}

// A count stands in the header for those who write C; the tables count themselves.
function enumInC(table: Readonly<Record<string, number>>, prefix: string): Record<string, number> {
  const values = Object.entries(table).map(([name, value]): [string, number] => [
    (prefix + snake(name)).toUpperCase(),
    value,
  ]);
  const counts: Readonly<Record<string, string>> = {
    codes: "SPECACHE_PLAN_COUNT",
    tokens: "SPECACHE_STATS_COUNT",
    direct: "SPECACHE_FAR_COUNT",
    samples: "SPECACHE_AUDIT_COUNT",
    embedding: "SPECACHE_ROLE_COUNT",
  };
  const count = counts[Object.keys(table)[0]];
  if (count) values.push([count, values.length]);
  return Object.fromEntries(values);
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function differences(what: string, header: unknown, table: unknown): string[] {
  const [inHeader, inTable] = [JSON.stringify(header), JSON.stringify(table)];
  return inHeader === inTable ? [] : [`${what}: the header has ${inHeader}, ffi/ has ${inTable}`];
}
