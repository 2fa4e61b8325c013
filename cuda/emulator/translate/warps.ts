// warps.ts - instructions in which threads meet: barriers, votes, shuffles, matrix products.
import { assign, type Instruction, type Scope, vector, type Writer } from "./scope.ts";
import { cppTypes, unknown } from "./types.ts";

/** opcodes -> [modifiers that may stand beside types, writer]. */
export const warps: Readonly<Record<string, readonly [string, Writer]>> = {
  "bar barrier": ["warp sync arrive red popc and or cta aligned", barrier],
  "fence membar": ["gl cta sys gpu sc acq_rel acquire release", () => "fence();"],
  shfl: ["sync up down bfly idx", shuffle],
  vote: ["sync ballot any all uni", vote],
  match: ["sync any all", match],
  redux: ["sync add min max and or xor", reduce],
  activemask: ["", ({ operands }) => assign(operands[0], "active_mask()")],
  elect: ["sync", elect],
  mma: ["sync aligned row col m16n8k8 m16n8k16 m16n8k32 m8n8k16", product],
  ldmatrix: ["sync aligned m8n8 x1 x2 x4 trans shared shared_cta", loadMatrix],
};

function barrier({ modifiers, operands, place }: Instruction, scope: Scope): string {
  const value = (text: string | undefined) =>
    text === undefined ? "0" : scope.value(text, "u32", place);
  if (modifiers.includes("warp")) return `warp_barrier(${value(operands[0])}, EMULATOR_HERE);`;
  if (modifiers.includes("arrive")) {
    return `barrier_arrive(${value(operands[0])}, ${value(operands[1])}, EMULATOR_HERE);`;
  }
  if (!modifiers.includes("red")) {
    return `barrier(${value(operands[0])}, ${value(operands[1])}, false, EMULATOR_HERE);`;
  }
  const [target, number] = operands;
  const count = value(operands.length > 3 ? operands[2] : undefined);
  const own = scope.operand(operands.at(-1)!, place);
  const all = modifiers.includes("and");
  const votes = `barrier(${value(number)}, ${count}, ${all ? `!(${own})` : own}, EMULATOR_HERE)`;
  const test = all ? " == 0" : modifiers.includes("or") ? " != 0" : "";
  return assign(target, `${votes}${test}`);
}

function shuffle({ modifiers, operands, place }: Instruction, scope: Scope): string {
  const [target, predicate] = operands[0].split("|");
  const values = operands.slice(1).map((text) => scope.value(text, "u32", place)).join(", ");
  const got = `shuffle<Shuffle::${modifiers[1]}>(${values}, EMULATOR_HERE, &in)`;
  const inside = predicate === undefined ? "" : assign(predicate, "in");
  return `{ bool in; uint32_t got = ${got}; ${assign(target, "got")} ${inside} }`;
}

function vote({ modifiers, operands, place }: Instruction, scope: Scope): string {
  const [target, own, mask] = operands;
  const name = modifiers[1] === "ballot" ? "ballot" : `vote_${modifiers[1]}`;
  const values = [scope.value(mask, "u32", place), scope.operand(own, place), "EMULATOR_HERE"];
  return assign(target, `${name}(${values.join(", ")})`);
}

function match({ modifiers, types, operands, place }: Instruction, scope: Scope): string {
  const [target, predicate] = operands[0].split("|");
  const value = scope.value(operands[1], types[0], place);
  const got = `match(${value}, ${scope.value(operands[2], "u32", place)}, EMULATOR_HERE, &all)`;
  const lanes = modifiers.includes("all") ? "all ? got : 0" : "got";
  const everybody = predicate === undefined ? "" : assign(predicate, "all");
  return `{ bool all; uint32_t got = ${got}; ${assign(target, lanes)} ${everybody} }`;
}

function reduce({ modifiers, types, operands, place }: Instruction, scope: Scope): string {
  const T = cppTypes[types[0]];
  const value = scope.value(operands[1], types[0], place);
  const mask = scope.value(operands[2], "u32", place);
  return assign(
    operands[0],
    `reduce<${T}>(${value}, ${mask}, EMULATOR_HERE, ${modifiers[1]}_<${T}>)`,
  );
}

function elect({ operands, place }: Instruction, scope: Scope): string {
  const [target, predicate] = operands[0].split("|");
  const come = `meet(${scope.value(operands[1], "u32", place)}, {}, EMULATOR_HERE).come`;
  return `{ uint32_t first = __builtin_ctz(${come}); ${assign(target, "first")} ${
    assign(predicate, "first == current->lane")
  } }`;
}

function product({ modifiers, types, operands, place }: Instruction, scope: Scope): string {
  const [sum, a, b] = types;
  const [d, aRegisters, bRegisters, c] = operands.map(vector);
  if (sum !== "f32" && sum !== "s32") throw unknown(`mma.${modifiers.join(".")}`, place);
  const element = (type: string) => type === "tf32" ? "float" : cppTypes[type];
  const words = [...aRegisters, ...bRegisters].map((text) => scope.value(text, "u32", place));
  const sums = c.map((text) => scope.value(text, sum, place)).join(", ");
  const shape = `${element(a)}, ${element(b)}, ${aRegisters.length}, ${bRegisters.length}`;
  return `{ using P = Product<${shape}>; P product(offer(${words.join(", ")}), {${sums}}, ` +
    `EMULATOR_HERE); ${d.map((text, i) => assign(text, `product.at[${i}]`)).join(" ")} }`;
}

function loadMatrix({ modifiers, operands, place }: Instruction, scope: Scope): string {
  const targets = vector(operands[0]);
  const { base, offset } = scope.address(operands[1], place);
  const type = `Rows<${targets.length}, ${modifiers.includes("trans")}>`;
  const row = `uint64_t(${base} + ${offset})`;
  return `{ ${type} rows(${row}, EMULATOR_HERE); ${
    targets.map((text, i) => assign(text, `rows.at[${i}]`)).join(" ")
  } }`;
}
