// bun.ts - loads a library in Bun. bun:ffi is fetched by name at run time, for Deno must be able to
// check and publish this file.
import process from "node:process";
import type { AbiTable, AbiType, FunctionsOf, Loaded } from "./symbols.ts";

interface BunFunction {
  readonly args: readonly string[];
  readonly returns: string;
}

interface BunFfi {
  dlopen(
    path: string,
    table: Record<string, BunFunction>,
  ): { readonly symbols: unknown; close(): void };
}

function bunType(type: AbiType): string {
  return type.endsWith("[]") ? "ptr" : type;
}

/** Loads the library at `path`; throws Bun's own error where that fails. */
export function loadBun<const Table extends AbiTable>(path: string, table: Table): Loaded<Table> {
  const builtin = process.getBuiltinModule as (name: string) => unknown;
  const ffi = builtin("bun:ffi") as BunFfi;
  const foreign: Record<string, BunFunction> = {};
  for (const [name, { args, returns }] of Object.entries(table)) {
    foreign[name] = { args: args.map(bunType), returns };
  }
  const library = ffi.dlopen(path, foreign);
  return {
    functions: library.symbols as FunctionsOf<Table>,
    close: () => library.close(),
  };
}
