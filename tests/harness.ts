// harness.ts - one test() for both runtimes, and the asserts. The same test files run under
// `deno test` and `bun test`. A test that needs what this machine lacks is skipped by name, aloud,
// with skip().
export {
  assert,
  assertAlmostEquals,
  assertArrayIncludes,
  assertEquals,
  assertExists,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertNotStrictEquals,
  assertObjectMatch,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  fail,
} from "@std/assert";

type Body = () => void | Promise<void>;

interface BunTest {
  (name: string, body: Body, timeoutMs?: number): void;
  skip(name: string, body: Body): void;
}

/** The runtime of this process. */
export const runtime: "deno" | "bun" = "Bun" in globalThis ? "bun" : "deno";

// bun:test cannot be imported by Deno, and Deno refuses to analyse it, so its name is a variable.
const bunTestName = "bun:test";
const bunTest: BunTest | null = runtime === "bun" ? (await import(bunTestName)).test : null;

// Bun ends a test after 5 s; ours end themselves, or the whole run is stopped.
const timeoutMs = 1_800_000;

/** Declares a test. */
export function test(name: string, body: Body): void {
  if (bunTest) bunTest(name, body, timeoutMs);
  else Deno.test(name, body);
}

/** Declares a test that cannot run here; `why` becomes part of its name. */
export function skip(name: string, why: string): void {
  const label = `${name} (skipped: ${why})`;
  if (bunTest) bunTest.skip(label, () => {});
  else Deno.test({ name: label, ignore: true, fn: () => {} });
}
