// symbols.ts - the functions of native/specache.h as data; their TypeScript types follow from it.
// "f32[]" is a buffer of that element type, lent for the call, or null; structs are "u32[]".
// tools/header.ts compares this table with the header.

/** A type of the C ABI. */
export type AbiType = "u32" | "i32" | "u64" | "u8[]" | "u32[]" | "u64[]" | "f32[]" | "f64[]";

/** A function of the C ABI. */
export interface AbiFunction {
  readonly args: readonly AbiType[];
  readonly returns: "u32" | "i32";
}

/** Functions by name. */
export type AbiTable = Readonly<Record<string, AbiFunction>>;

export const symbols = {
  specache_abi_version: { args: [], returns: "u32" },
  specache_error: { args: ["u8[]", "u32"], returns: "u32" },
  specache_isa: { args: [], returns: "u32" },
  specache_threads: { args: [], returns: "u32" },
  specache_plan: { args: ["u32[]", "u32[]", "u8[]", "u32", "u64[]"], returns: "i32" },
  specache_store_open: {
    args: ["u32[]", "u8[]", "u32", "u32[]", "u8[]", "f32[]", "u32[]", "f32[]", "u64[]"],
    returns: "i32",
  },
  specache_store_close: { args: ["u64"], returns: "i32" },
  specache_store_device: { args: ["u64", "u8[]", "u32", "u32[]"], returns: "i32" },
  specache_sequence_open: { args: ["u64", "u64[]"], returns: "i32" },
  specache_sequence_fork: { args: ["u64", "u64", "u64[]"], returns: "i32" },
  specache_sequence_truncate: { args: ["u64", "u64", "u32"], returns: "i32" },
  specache_sequence_close: { args: ["u64", "u64"], returns: "i32" },
  specache_sequence_stats: { args: ["u64", "u64", "u64[]"], returns: "i32" },
  specache_pages: { args: ["u64", "u32[]", "u32[]"], returns: "i32" },
  specache_sequence_pages: { args: ["u64", "u64", "u32[]", "u32[]"], returns: "i32" },
  specache_append: {
    args: ["u64", "u64", "u32", "u32", "f32[]", "f32[]", "f32[]", "f32[]"],
    returns: "i32",
  },
  specache_begin: { args: ["u64", "u64", "u32", "u32", "u32[]"], returns: "i32" },
  specache_attend: {
    args: ["u64", "u64", "u32", "f32[]", "f32[]", "f32[]", "f32[]"],
    returns: "i32",
  },
  specache_keep: { args: ["u64", "u64", "u32"], returns: "i32" },
  specache_model_open: { args: ["u64", "u32[]", "f64[]"], returns: "i32" },
  specache_model_tensor: {
    args: ["u64", "u32[]", "u8[]", "u32", "u8[]", "u32"],
    returns: "i32",
  },
  specache_model_ready: { args: ["u64"], returns: "i32" },
  specache_prefill: { args: ["u64", "u64", "u32[]", "u32", "f32[]"], returns: "i32" },
  specache_step: {
    args: ["u64", "u32[]", "u32", "u32[]", "u32[]", "u32[]", "f32[]", "f32[]"],
    returns: "i32",
  },
  specache_decode: {
    args: [
      ...["u64", "u32[]", "u32[]", "u32", "u32", "u32", "u32[]", "u32"],
      ...["u32[]", "f32[]", "f32[]", "u32[]"],
    ],
    returns: "i32",
  },
  specache_sample: { args: ["u32[]", "f32[]", "u32", "u32", "u32", "u32[]"], returns: "i32" },
  specache_rows: { args: ["u64", "u64", "u32", "u32", "u32", "f32[]", "f32[]"], returns: "i32" },
  specache_record: { args: ["u64"], returns: "i32" },
  specache_recorded: { args: ["u64", "f32[]"], returns: "i32" },
  specache_audit: { args: ["u64", "u32", "u32", "u32"], returns: "i32" },
  specache_audited: { args: ["u64", "u64", "f64[]"], returns: "i32" },
  specache_watch: { args: ["u64", "u64"], returns: "i32" },
  specache_watched: { args: ["u64", "u32[]", "u32[]", "u32[]", "u8[]"], returns: "i32" },
  specache_cancel: { args: ["u64"], returns: "i32" },
  specache_delay: { args: ["u64", "u32", "u32"], returns: "i32" },
  specache_hold: { args: ["u64", "u32"], returns: "i32" },
  specache_release: { args: ["u64"], returns: "i32" },
  specache_fill: { args: ["u64", "u64", "u32", "u32"], returns: "i32" },
  specache_time: { args: ["u64[]"], returns: "i32" },
  specache_read_far: { args: ["u64", "u64", "u64", "u64[]"], returns: "i32" },
  specache_far_access: { args: ["u64", "u64[]"], returns: "i32" },
  specache_far_reads: { args: ["u64", "u32", "u32", "u32", "u64[]"], returns: "i32" },
  specache_trace_start: { args: ["u64", "u32"], returns: "i32" },
  specache_trace: { args: ["u64", "u64[]", "u32", "u32[]"], returns: "i32" },
} as const satisfies AbiTable;

interface Values {
  "u32": number;
  "i32": number;
  "u64": bigint;
  "u8[]": Uint8Array | null;
  "u32[]": Uint32Array | null;
  "u64[]": BigUint64Array | null;
  "f32[]": Float32Array | null;
  "f64[]": Float64Array | null;
}

type Arguments<Types extends readonly AbiType[]> = {
  -readonly [Index in keyof Types]: Values[Types[Index]];
};

/** The functions of a table, typed. */
export type FunctionsOf<Table extends AbiTable> = {
  readonly [Name in keyof Table]: (
    ...args: Arguments<Table[Name]["args"]>
  ) => Values[Table[Name]["returns"]];
};

/** The functions of libspecache. */
export type Functions = FunctionsOf<typeof symbols>;

/** A library that a runtime has loaded. */
export interface Loaded<Table extends AbiTable> {
  readonly functions: FunctionsOf<Table>;
  close(): void;
}
