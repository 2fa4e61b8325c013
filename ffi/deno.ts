// deno.ts - loads a library in Deno.
import type { AbiTable, AbiType, FunctionsOf, Loaded } from "./symbols.ts";

function denoType(type: AbiType): Deno.NativeType {
  return type.endsWith("[]") ? "buffer" : type as "u32" | "i32" | "u64";
}

/** Loads the library at `path`; throws Deno's own error where that fails. */
export function loadDeno<const Table extends AbiTable>(path: string, table: Table): Loaded<Table> {
  const foreign: Record<string, Deno.ForeignFunction> = {};
  for (const [name, { args, returns }] of Object.entries(table)) {
    foreign[name] = { parameters: args.map(denoType), result: returns };
  }
  const library = Deno.dlopen(path, foreign);
  return {
    functions: library.symbols as unknown as FunctionsOf<Table>,
    close: () => library.close(),
  };
}
