// memory.ts - loads, stores, atomic operations, asynchronous copies and addresses.
import { assign, type Instruction, type Scope, vector, type Writer } from "./scope.ts";
import { bytesOf, cppName, cppTypes, unknown } from "./types.ts";

const hints = "ca cg cs cv wb wt nc weak relaxed acquire release volatile gpu sys cta v2 v4 " +
  "global shared shared_cta local const param lu L1_no_allocate L1_evict_last L1_evict_first " +
  "L2_64B L2_128B L2_256B";
const operations = "add min max and or xor exch cas inc dec";

/** opcodes -> [modifiers that may stand beside types, writer]. */
export const memory: Readonly<Record<string, readonly [string, Writer]>> = {
  "ld ldu": [hints, load],
  st: [hints, store],
  "atom red": [
    `${operations} global shared shared_cta gpu sys cta relaxed acquire release acq_rel noftz`,
    atomic,
  ],
  cp: [
    "async ca cg shared shared_cta global L2_64B L2_128B L2_256B commit_group wait_group wait_all",
    copyAsync,
  ],
  cvta: ["to global shared local const param", convertAddress],
  isspacep: ["shared global local const", isSpace],
  prefetch: ["global L1 L2 local", () => ""],
};

function spaceOf(modifiers: readonly string[]): string {
  const words = modifiers.map((word) => word.replace("_cta", ""));
  if (words.includes("const")) return "global"; // a block like any other here
  return words.find((word) => ["global", "shared", "local"].includes(word)) ?? "generic";
}

function orderOf(modifiers: readonly string[]): string {
  if (modifiers.includes("acq_rel")) return "Order::both";
  const strong = modifiers.find((word) => ["acquire", "release", "relaxed"].includes(word));
  if (strong !== undefined) return `Order::${strong}`;
  return modifiers.includes("volatile") ? "Order::relaxed" : "Order::weak";
}

function parameterPlace(text: string, instruction: Instruction, scope: Scope) {
  const { base, name, offset } = scope.address(text, instruction.place);
  if (scope.isParameter(name)) return { from: cppName(name), offset };
  return { from: `reinterpret_cast<unsigned char *>(${base})`, offset };
}

function load(instruction: Instruction, scope: Scope): string {
  const { modifiers, types, operands, place } = instruction;
  const type = types.at(-1)!;
  const T = cppTypes[type];
  const targets = vector(operands[0]);
  if (modifiers.includes("param")) {
    const { from, offset } = parameterPlace(operands[1], instruction, scope);
    return targets.map((target, i) =>
      assign(target, `load_parameter<${T}>(${from}, ${offset} + ${i * bytesOf(type)})`)
    ).join(" ");
  }
  const from = scope.pointer(operands[1], spaceOf(modifiers), type, targets.length, place);
  const read = (i: number) => `load<${T}, ${orderOf(modifiers)}>(from + ${i})`;
  return `{ auto *from = static_cast<${T} *>(${from}); ${
    targets.map((target, i) => assign(target, read(i))).join(" ")
  } }`;
}

function store(instruction: Instruction, scope: Scope): string {
  const { modifiers, types, operands, place } = instruction;
  const type = types.at(-1)!;
  const T = cppTypes[type];
  const values = vector(operands[1]).map((text) => scope.value(text, type, place));
  if (modifiers.includes("param")) {
    const { from, offset } = parameterPlace(operands[0], instruction, scope);
    return values.map((value, i) =>
      `store_parameter<${T}>(${from}, ${offset} + ${i * bytesOf(type)}, ${value});`
    ).join(" ");
  }
  const to = scope.pointer(operands[0], spaceOf(modifiers), type, values.length, place);
  return `{ auto *to = static_cast<${T} *>(${to}); ${
    values.map((value, i) => `store<${T}, ${orderOf(modifiers)}>(to + ${i}, ${value});`).join(" ")
  } }`;
}

function atomic(instruction: Instruction, scope: Scope): string {
  const { opcode, modifiers, types, operands, place } = instruction;
  const operation = modifiers.find((word) => operations.split(" ").includes(word));
  const [target, at, ...values] = opcode === "red" ? ["_", ...operands] : operands;
  if (operation === undefined || values.some((text) => text.startsWith("{"))) {
    throw unknown(`${opcode}.${modifiers.join(".")}`, place);
  }
  const type = types.at(-1)!;
  const order = orderOf(modifiers).replace("weak", "relaxed");
  const pointer = scope.pointer(at, spaceOf(modifiers), type, 1, place);
  const given = values.map((text) => scope.value(text, type, place));
  const name = `atomic_${operation}<${cppTypes[type]}, ${order}>`;
  return assign(target, `${name}(${[pointer, ...given].join(", ")})`);
}

function copyAsync({ modifiers, operands, place }: Instruction, scope: Scope): string {
  if (!modifiers.includes("async")) throw unknown(`cp.${modifiers.join(".")}`, place);
  if (modifiers.includes("commit_group")) return "copy_commit();";
  if (modifiers.includes("wait_group")) return `copy_wait(${scope.operand(operands[0], place)});`;
  if (modifiers.includes("wait_all")) return "copy_commit(); copy_wait(0);";
  const [to, from] = operands.slice(0, 2).map((text) => {
    const { base, offset } = scope.address(text, place);
    return `${base} + ${offset}`;
  });
  const bytes = scope.operand(operands[2], place);
  const kept = operands[3] === undefined ? bytes : scope.value(operands[3], "u32", place);
  return `copy_async(${to}, ${from}, ${bytes}, ${kept}, EMULATOR_HERE);`;
}

function convertAddress(instruction: Instruction, scope: Scope): string {
  const { modifiers, operands, place } = instruction;
  const value = scope.value(operands[1], "u64", place);
  if (!modifiers.includes("shared")) return assign(operands[0], value);
  const name = modifiers.includes("to") ? "generic_to_shared" : "shared_to_generic";
  return assign(operands[0], `${name}(${value})`);
}

function isSpace({ modifiers, operands, place }: Instruction, scope: Scope): string {
  const value = scope.value(operands[1], "u64", place);
  const shared = `is_shared(${value})`;
  const local = `on_own_stack(${value})`;
  const answers: Record<string, string> = { shared, local, const: "false" };
  return assign(operands[0], answers[modifiers[0]] ?? `!${shared} && !${local}`);
}
