// gguf_fields.ts - the numbers in a GGUF file's metadata that describe its family of models.
import { broken, unsupported } from "./faults.ts";
import type { Gguf, GgufValue } from "./gguf.ts";

/** A family's metadata; `name` without the family. */
export interface Fields {
  get(name: string): GgufValue | undefined;
  has(name: string): boolean;
  whole(name: string, standard?: number): number;
  positive(name: string, standard?: number): number;
}

/** The metadata of `family`, each number checked when it is asked for. */
export function fieldsOf(path: string, family: string, { metadata }: Gguf): Fields {
  const value = (name: string, standard?: number): number => {
    const key = `${family}.${name}`;
    const found = metadata.get(key) ?? standard;
    if (found === undefined) broken(path, `metadata ${key} is missing`);
    if (Array.isArray(found)) unsupported(path, `metadata ${key} differs between layers`);
    const number = typeof found === "bigint" ? Number(found) : found;
    if (typeof number === "number" && Number.isFinite(number) && number > 0) return number;
    return broken(path, `metadata ${key} ${String(found)} is not a positive number`);
  };
  return {
    get: (name) => metadata.get(`${family}.${name}`),
    has: (name) => metadata.has(`${family}.${name}`),
    positive: value,
    whole(name, standard) {
      const number = value(name, standard);
      if (Number.isInteger(number) && number < 2 ** 31) return number;
      return broken(path, `metadata ${family}.${name} ${number} is not a whole number below 2^31`);
    },
  };
}
