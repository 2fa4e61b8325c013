// What must agree for the package to build itself and to be published.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { version } from "../../ffi/version.ts";
import { sources } from "../../ffi/sources.ts";
import { checkSources, sourceFiles, sourcesModule } from "../../tools/sources.ts";
import { releaseFaults } from "../../tools/release.ts";
import { pathOf } from "../cli/command.ts";
import { assert, assertEquals, assertStringIncludes, test } from "../harness.ts";

const json = (name: string) => JSON.parse(readFileSync(pathOf(name), "utf8"));

test("deno.json, package.json and ffi/version.ts have one version and the same exports", () => {
  const [deno, npm] = [json("deno.json"), json("package.json")];
  assertEquals([deno.version, npm.version], [version, version]);
  assertEquals(npm.exports, deno.exports);
});

test("ffi/sources.ts has the text of every file of native/ and cuda/ that is built", () => {
  assertEquals(checkSources(), []);
  const files = sourceFiles();
  assertEquals(Object.keys(sources), files);
  for (const file of files) assertEquals(sources[file], readFileSync(pathOf(file), "utf8"), file);
  for (const name of ["native/specache.h", "native/cpu/kernels/scan.cpp", "cuda/scan.cu"]) {
    assert(files.includes(name), name);
  }
  assert(!files.some((name) => /\/(tests|bench|emulator)\//.test(name)));
});

test("ffi/sources.ts is reached by import() alone, for JSR refuses other text imports", () => {
  const { include } = json("deno.json").publish as { readonly include: readonly string[] };
  const files = include.flatMap((name) => {
    if (!statSync(pathOf(name)).isDirectory()) return [name];
    const names = readdirSync(pathOf(name), { recursive: true }) as string[];
    return names.map((below) => `${name}/${below}`);
  }).filter((name) => name.endsWith(".ts"));
  const naming = files.filter((name) =>
    /["/]sources\.ts"/.test(readFileSync(pathOf(name), "utf8"))
  );
  assertEquals(naming, ["ffi/ensure.ts"]);
  const text = readFileSync(pathOf("ffi/ensure.ts"), "utf8");
  assertEquals(text.match(/.*sources\.ts".*/g), [
    '  const { sources } = await import("./sources.ts");',
  ]);
});

test("sourcesModule() of one more file is another module, which imports it as text", () => {
  const more = sourcesModule([...sourceFiles(), "native/store/more.cpp"]);
  assertStringIncludes(
    more,
    'import storeMoreCpp from "../native/store/more.cpp" with { type: "text" };\n',
  );
  assertStringIncludes(more, '  "native/store/more.cpp": storeMoreCpp,\n');
});

test("a release needs a tag of the version, and a part of the changelog", () => {
  const log = "# Changelog\n\n## 1.2.0\n\n- A thing.\n";
  assertEquals(releaseFaults("v1.2.0", "1.2.0", log), []);
  assertEquals(releaseFaults("1.2.0", "1.2.0", log), [
    "Cannot release: tag 1.2.0 is not v1.2.0, of deno.json's version",
  ]);
  assertEquals(releaseFaults("v1.3.0", "1.3.0", log), [
    "Cannot release: CHANGELOG.md has no heading ## 1.3.0",
  ]);
  assertEquals(releaseFaults(undefined, "1.2.0", log), [
    "Cannot release: tag undefined is not v1.2.0, of deno.json's version",
  ]);
});
