// translate.ts - turns the PTX that nvcc made into C++ for the emulated device: one function a
// kernel, registers as variables, branches as goto, and #line so that tools name the .cu line.
// What it does not know ends the build.
import { arithmetic } from "./translate/arithmetic.ts";
import { control } from "./translate/control.ts";
import type { Mutant } from "./mutants.ts";
import { memory } from "./translate/memory.ts";
import { type Function, type Module, parse, parseDeclaration } from "./translate/parse.ts";
import { type Instruction, Scope, type Writer } from "./translate/scope.ts";
import { cppName, cppTypes, type Place, splitList, unknown } from "./translate/types.ts";
import { warps } from "./translate/warps.ts";

interface Known {
  readonly modifiers: ReadonlySet<string>;
  readonly write: Writer;
}

const instructions = new Map<string, Known>(
  Object.entries({ ...arithmetic, ...memory, ...warps, ...control }).flatMap(
    ([opcodes, [modifiers, write]]) =>
      opcodes.split(" ").map((opcode) =>
        [opcode, { modifiers: new Set(modifiers.split(" ")), write }] as const
      ),
  ),
);

/**
 * C++ for a PTX text; `name` stands in errors about what comes from no .cu line,
 * other paths are told from the folder `root`. Mutants of this module are written beside the right
 * instructions.
 *
 * @throws {SpecacheError} unsupported: something is not known; the message names file and line
 */
export function translate(
  ptx: string,
  name: string,
  root: string,
  mutants: readonly Mutant[] = [],
): string {
  const own = mutants.filter(({ module }) => module === name);
  const module = parse(ptx, name, root);
  const lines = [
    `// Made by translate.ts from ${name}.`,
    '#include "ptx/ptx.h"',
    "namespace emulator::ptx {",
    "namespace {",
    ...module.variables.map((variable) =>
      `Variable ${cppName(variable.name)}("${variable.name}", ${variable.bytes}, {${
        variable.initial.some((byte) => byte !== 0) ? variable.initial.join(", ") : ""
      }});`
    ),
    ...module.shared.map(({ name, bytes }) => `SharedVariable ${cppName(name)}{${bytes}};`),
    ...module.functions.filter(({ entry }) => !entry).map((made) => `${headOf(made)};`),
    ...module.functions.flatMap((made, i) =>
      writeFunction(
        module,
        made,
        new Map(own.filter(({ at }) => at[0] === i).map((each) => [each.at[1], each])),
      )
    ),
    "}  // namespace",
    "}  // namespace emulator::ptx",
  ];
  return lines.join("\n") + "\n";
}

function headOf({ name, results, parameters }: Function): string {
  const list = [...results, ...parameters].map((each) => `unsigned char *${cppName(each.name)}`);
  return `void ${cppName(name)}(${list.join(", ")})`;
}

function writeFunction(
  module: Module,
  made: Function,
  mutants: ReadonlyMap<number, Mutant>,
): string[] {
  const scope = new Scope(module, made);
  const shared: string[] = [];
  let sharedBytes = 0;
  const body: string[] = [];
  let depth = 1;
  for (const [i, { kind, text, place }] of made.statements.entries()) {
    if (kind === "open" || kind === "close") {
      depth += kind === "open" ? 1 : -1;
      body.push(kind === "open" ? "{" : "}");
    } else if (kind === "label") body.push(`${cppName(text)}:;`);
    else if (kind === "targets") {
      const [label, ...targets] = text.split(/[ ,]+/);
      scope.targets.set(label, targets);
    } else if (text.startsWith(".shared")) {
      const declared = parseDeclaration(text);
      if (declared === undefined) throw unknown(text, place);
      scope.declare("shared", declared);
      sharedBytes += declared.bytes;
      shared.push(`SharedVariable ${cppName(declared.name)}{${declared.bytes}};`);
    } else if (text.startsWith(".")) {
      const line = declaration(text, scope, place);
      (depth === 1 ? scope.head : body).push(line);
    } else {body.push(
        `#line ${place.line} ${JSON.stringify(place.file)}`,
        withMutant(write(text, place, scope), mutants.get(i), scope),
      );}
  }
  const { entry, name, parameters } = made;
  const taken = parameters.map(({ name }, i) =>
    `auto *${cppName(name)} = const_cast<unsigned char *>(parameters[${i}]);`
  );
  const head = entry
    ? `void ${cppName(name)}([[maybe_unused]] const unsigned char *const *parameters)`
    : headOf(made);
  const sizes = parameters.map(({ bytes }) => bytes).join(", ");
  const known = `AddKernel add_${cppName(name)}({"${name}", ${cppName(name)}, {${sizes}}, ` +
    `${sharedBytes}});`;
  return [
    ...shared,
    `${head} {`,
    ...(entry ? taken : []),
    ...scope.head,
    ...body,
    "}",
    ...(entry ? [known] : []),
  ];
}

/** .reg, .local and .param inside of a function, as variables. */
function declaration(text: string, scope: Scope, place: Place): string {
  if (text.startsWith(".pragma")) return "";
  const register = text.match(/^\.reg \.(\w+) (.*)$/);
  if (register) {
    const names = register[2].split(",").map((name) => name.trim()).flatMap((name) => {
      const range = name.match(/^(.*)<(\d+)>$/);
      if (range === null) return [name];
      return Array.from({ length: Number(range[2]) }, (_, i) => `${range[1]}${i}`);
    });
    const type = cppTypes[register[1]];
    if (type === undefined) throw unknown(text, place);
    return `${type} ${names.map((name) => `${cppName(name)}{}`).join(", ")};`;
  }
  const space = text.match(/^\.(local|param)\b/)?.[1] as "local" | "param" | undefined;
  const declared = parseDeclaration(text);
  if (space === undefined || declared === undefined) throw unknown(text, place);
  scope.declare(space, declared);
  return `alignas(16) unsigned char ${cppName(declared.name)}[${declared.bytes}];`;
}

/** The mistake that EMULATOR_MUTANT may ask for, else what is right. */
function withMutant(right: string, mutant: Mutant | undefined, scope: Scope): string {
  if (mutant === undefined) return right;
  const { id, after, place } = mutant;
  const wrong = after === "" ? "" : write(after, place, scope);
  return `if (mutant == ${id} && mutant_reached()) { ${wrong} } else { ${right} }`;
}

function write(text: string, place: Place, scope: Scope): string {
  const parts = text.match(/^(?:@(!?)(%?[\w$]+) )?([\w.:]+)(?: (.*))?$/);
  if (parts === null) throw unknown(text, place);
  const [, negated, guard, words, list] = parts;
  const [opcode, ...modifiers] = words.replaceAll("::", "_").split(".");
  const known = instructions.get(opcode);
  const foreign = modifiers.find((word) => !(word in cppTypes) && !known?.modifiers.has(word));
  if (known === undefined || foreign !== undefined) throw unknown(`instruction ${text}`, place);
  const instruction: Instruction = {
    opcode,
    modifiers,
    types: modifiers.filter((word) => word in cppTypes),
    operands: splitList(list ?? ""),
    place,
  };
  const code = known.write(instruction, scope);
  return guard === undefined ? code : `if (${negated}${cppName(guard)}) { ${code} }`;
}
