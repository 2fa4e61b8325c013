// types.ts - PTX's types and names as C++ says them, and the error of the translator.
import { SpecacheError } from "../../../engine/errors.ts";

/** PTX type -> C++ type. */
export const cppTypes: Readonly<Record<string, string>> = {
  pred: "bool",
  b8: "uint8_t",
  u8: "uint8_t",
  s8: "int8_t",
  b16: "uint16_t",
  u16: "uint16_t",
  s16: "int16_t",
  f16: "f16",
  bf16: "bf16",
  f16x2: "f16x2",
  bf16x2: "bf16x2",
  b32: "uint32_t",
  u32: "uint32_t",
  s32: "int32_t",
  f32: "float",
  tf32: "uint32_t",
  b64: "uint64_t",
  u64: "uint64_t",
  s64: "int64_t",
  f64: "double",
};

/** Bytes of a value of a PTX type. */
export function bytesOf(type: string): number {
  if (type === "pred") return 1;
  return type.endsWith("x2") ? 4 : Number(type.match(/\d+/)![0]) / 8;
}

/** A C++ name for a PTX one; registers, which begin with %, share no name with anything else. */
export function cppName(name: string): string {
  const plain = name.replaceAll("$", "_S").replaceAll(".", "_");
  return plain.startsWith("%") ? `r_${plain.slice(1)}` : `n_${plain}`;
}

/** A list that is parted by commas, but not inside of braces or brackets. */
export function splitList(list: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let part = "";
  for (const character of list) {
    if ("{[(".includes(character)) depth++;
    if ("}])".includes(character)) depth--;
    if (character === "," && depth === 0) {
      parts.push(part.trim());
      part = "";
    } else part += character;
  }
  if (part.trim() !== "") parts.push(part.trim());
  return parts;
}

/** A place in a source, from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
}

/** The error of something in the PTX that the emulator does not know. */
export function unknown(what: string, place: Place): SpecacheError {
  return new SpecacheError(
    "unsupported",
    `Cannot translate PTX: ${place.file}:${place.line}: ${what}`,
    { details: { ...place } },
  );
}
