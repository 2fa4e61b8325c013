// Which C++ compiler is taken, and how one is fetched, with programs that only say what they are.
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { offerCompiler } from "../../cli/toolchain.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { compilerFolder, fetchCompiler, findCompiler } from "../../ffi/compiler.ts";
import { command, Folder } from "../cli/command.ts";
import { assert, assertEquals, assertMatch, assertRejects, test } from "../harness.ts";
import { makeStub } from "./stub.ts";

// A machine of its own: programs are shell scripts in the only folder of PATH, PATH of the scripts
// themselves is the usual one.
class Machine extends Folder {
  readonly #before = ["PATH", "CXX", "SPECACHE_HOME"].map((name) => [name, process.env[name]]);

  constructor(programs: Readonly<Record<string, string>>) {
    super();
    const bin = this.of("bin");
    mkdirSync(bin);
    for (const [name, script] of Object.entries(programs)) program(join(bin, name), script);
    delete process.env.CXX;
    process.env.PATH = bin;
    process.env.SPECACHE_HOME = this.of("home");
  }

  override [Symbol.dispose](): void {
    for (const [name, value] of this.#before) {
      if (value === undefined) delete process.env[name!];
      else process.env[name!] = value;
    }
    super[Symbol.dispose]();
  }
}

function program(path: string, text: string): void {
  writeFileSync(path, `#!/bin/sh\nPATH=/usr/bin:/bin\n${text}\n`);
  chmodSync(path, 0o755);
}

// pip's --target is the argument behind it; what it leaves there answers like zig.
const python = `while [ "$1" != --target ]; do shift; done
mkdir -p "$2/ziglang"
printf '#!/bin/sh\\necho "clang version 21"\\n' > "$2/ziglang/zig"
chmod +x "$2/ziglang/zig"`;

test("findCompiler() takes g++ before clang++, and CXX before both", async () => {
  using machine = new Machine({ "g++": "echo g++ 12", "clang++": "echo clang 14" });
  const gxx = { command: "g++", path: join(machine.of("bin"), "g++"), version: "g++ 12" };
  assertEquals(await findCompiler(), { ...gxx, fetched: false });
  process.env.CXX = join(machine.of("bin"), "clang++");
  assertEquals((await findCompiler())?.version, "clang 14");
  process.env.CXX = "/nowhere/c++";
  assertEquals(await findCompiler(), null);
});

test("fetchCompiler() fetches nothing where the machine has a compiler", async () => {
  using machine = new Machine({ "c++": "echo c++ 1" });
  assertEquals(await fetchCompiler(), "c++");
  assert(!existsSync(machine.of("home")));
});

test("fetchCompiler() puts one into the cache folder, where findCompiler() finds it", async () => {
  using machine = new Machine({ python3: python });
  const command = await fetchCompiler();
  assertEquals(command, join(machine.of("home"), "ziglang-0.17.1", "c++"));
  assertEquals(await findCompiler(), {
    ...{ command, path: command, version: "clang version 21", fetched: true },
  });
  assertEquals(readdirSync(machine.of("home")), ["ziglang-0.17.1"]);
});

test("two fetches at once end with one compiler", async () => {
  using machine = new Machine({ python3: python });
  const [one, other] = await Promise.all([fetchCompiler(), fetchCompiler()]);
  assertEquals(one, other);
  assertEquals(readdirSync(machine.of("home")), ["ziglang-0.17.1"]);
});

const failures: readonly [name: string, programs: Record<string, string>, sentence: RegExp][] = [
  ["no Python", {}, /: python3 -m pip does not answer; install Python 3 and pip$/],
  ["no pip", { python3: "echo No module named pip >&2; exit 1" }, /install Python 3 and pip$/],
  [
    "no network",
    { python3: "echo ERROR: no route >&2; exit 1" },
    /: pip failed \(ERROR: no route\)$/,
  ],
  ["a wheel of another machine", { python3: "exit 0" }, /ziglang-0\.17\.1\/c\+\+ does not run$/],
];
for (const [name, programs, sentence] of failures) {
  test(`specache toolchain c++ with ${name} says so`, async () => {
    using _machine = new Machine(programs);
    const { stderr, stdout } = await command(["toolchain", "c++"]);
    const [said, error, ...more] = stderr.trimEnd().split("\n");
    assertEquals([stdout, more], ["", []]);
    assertMatch(said, /^Fetching a C\+\+ compiler \(.+\) into .+ziglang-0\.17\.1$/);
    assertMatch(error, /^Cannot fetch a C\+\+ compiler: /);
    assertMatch(error, sentence);
  });
}

test("build() without a compiler names the command that fetches one, and where to", async () => {
  using stub = makeStub();
  using _machine = new Machine({});
  const error = await assertRejects(() => stub.build(), SpecacheError);
  assertEquals(error.code, "unsupported");
  assertMatch(error.message, /"specache toolchain c\+\+" fetches one \(.+\) into \S+$/);
  assert(error.message.endsWith(compilerFolder()));
});

test("a build asks before it fetches a compiler, and takes no for an answer", async () => {
  using machine = new Machine({ python3: python });
  const said: string[] = [];
  const stderr = { write: (text: string) => said.push(text) };
  const questions: string[] = [];
  const answer = (yes: boolean) => (question: string) => {
    questions.push(question);
    return Promise.resolve(yes);
  };
  await offerCompiler(stderr, answer(false));
  assertEquals([said.length, existsSync(machine.of("home"))], [0, false]);
  await offerCompiler(stderr, null);
  assertEquals(existsSync(machine.of("home")), false);
  await offerCompiler(stderr, answer(true));
  assertEquals((await findCompiler())?.fetched, true);
  await offerCompiler(stderr, answer(true)); // there is one now
  assertEquals(questions.length, 2);
  assert(questions[0].includes(compilerFolder()));
});
