// mutants.ts - draws mistakes for the kernels of a program: the translator writes each beside the
// right instruction, and EMULATOR_MUTANT chooses one at run time, so that one build serves for all.
import { createHash } from "node:crypto";
import { randomOf } from "../../engine/sampling/race.ts";
import { mutationsOf } from "./translate/mutations.ts";
import type { Function } from "./translate/parse.ts";
import { parse } from "./translate/parse.ts";
import type { Place } from "./translate/types.ts";

/** One mistake in one instruction. */
export interface Mutant {
  /** From 1, over all modules. */
  readonly id: number;
  /** The name of the PTX file. */
  readonly module: string;
  readonly kernel: string;
  /** Indices of the function in its module and of the statement in its function. */
  readonly at: readonly [number, number];
  readonly operator: string;
  readonly before: string;
  /** Empty: the instruction is left out. */
  readonly after: string;
  readonly place: Place;
}

/** How to draw. */
export interface MutantOptions {
  readonly seed: number;
  /** At least so many, over all kernels. */
  readonly count: number;
}

/** A PTX file. */
export interface Ptx {
  readonly name: string;
  readonly text: string;
}

const leastOfKernel = 4;

interface Site {
  readonly module: string;
  readonly function: number;
  readonly made: Function;
  /** Of the statements with mistakes that can be made of them. */
  readonly statements: readonly number[];
}

/**
 * Draws mutants, the same for the same seed, no two in one instruction. Functions have a share by
 * the square root of their length, so that the long ones do not take nearly all; what is drawn of
 * one does not depend on the others but for how much it is.
 */
export function drawMutants(modules: readonly Ptx[], options: MutantOptions, root: string) {
  const sites: Site[] = modules.flatMap(({ name, text }) =>
    parse(text, name, root).functions.map((made, i) => ({
      module: name,
      function: i,
      made,
      statements: made.statements.flatMap(({ kind, text }, at) =>
        kind === "statement" && mutationsOf(text).length > 0 ? [at] : []
      ),
    }))
  );
  const whole = sites.reduce((sum, { statements }) => sum + Math.sqrt(statements.length), 0);
  const mutants: Mutant[] = [];
  for (const { module, function: index, made, statements } of sites) {
    const share = Math.ceil(options.count * Math.sqrt(statements.length) / whole);
    const kernel = plainName(made.name);
    const seed = seedOf(options.seed, module, kernel);
    let drawn = 0;
    const draw = (below: number) => Math.floor(randomOf(seed, drawn++) * below);
    const left = [...statements];
    for (let i = Math.max(share, leastOfKernel); i > 0 && left.length > 0; i--) {
      const [at] = left.splice(draw(left.length), 1);
      const { text: before, place } = made.statements[at];
      const choices = mutationsOf(before);
      const { operator, text: after } = choices[draw(choices.length)];
      mutants.push({
        ...{ id: mutants.length + 1, module, kernel, at: [index, at] },
        ...{ operator, before, after, place },
      });
    }
  }
  return mutants;
}

/** The seed of one function. */
function seedOf(seed: number, module: string, kernel: string): number {
  return createHash("sha256").update(`${seed} ${module} ${kernel}`).digest().readUIntBE(0, 6);
}

/** The last name of a C++ one that was made plain: of _ZN1a3two3EiE it is two. */
export function plainName(mangled: string): string {
  let name = mangled;
  let rest = mangled.match(/^_ZN(.*)$/)?.[1] ?? "";
  for (;;) {
    const found = rest.match(/^(\d+)(.*)$/);
    if (found === null) break;
    const length = Number(found[1]);
    name = found[2].slice(0, length);
    rest = found[2].slice(length);
  }
  const number = rest.match(/^ILN.*?E(\d+)EE/)?.[1];
  return number === undefined ? name : `${name}<${number}>`;
}
