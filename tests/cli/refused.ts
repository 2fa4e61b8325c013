// refused.ts - command lines that are refused, as tables: the status is 2, nothing is on standard
// output, and one sentence on standard error.
import { assert, assertEquals, assertMatch, test } from "../harness.ts";
import { command, Folder, idsText, needle, pathOf, tiny } from "./command.ts";
import { profileBytes } from "./profile.ts";

// Stand-ins of the tables below, as paths; NONE is nowhere.
function paths(folder: Folder): Record<string, string> {
  return {
    NEEDLE: needle,
    TINY: tiny,
    BAD: pathOf("tests/golden/bad"),
    GOLDEN: pathOf("tests/golden"),
    EMPTY: folder.path,
    NONE: folder.of("none"),
    IDS: folder.file("ids", idsText(20)),
    TEXT: folder.file("text", "not what is asked for"),
    OBJECT: folder.file("object", '{"0": 1}'),
    FLOAT: folder.file("float", "[1, 2.5]"),
    NEGATIVE: folder.file("negative", "[1, -3]"),
    WORD: folder.file("word", '[1, "two"]'),
    LARGE: folder.file("large", "[1, 99999]"),
    NOTHING: folder.file("nothing", "[]"),
    BROKEN: folder.file("broken", "{% for %}"),
    BLANK: folder.file("blank", ""),
    PROFILE: folder.file("profile", profileBytes({ layers: 1, kvHeads: 2, headDim: 16 })),
    FAR: folder.of("far"),
    TEMPLATE: folder.file("template", "{{ messages[0].content }}"),
    KEYS: folder.file("keys", "secret\n"),
    NOKEYS: folder.file("nokeys", "\n\n"),
    SPACED: folder.file("spaced", "secret\nsec ret\n"),
    UMLAUT: folder.file("umlaut", "s\u00e9cret\n"),
    LONGKEY: folder.file("longkey", "s".repeat(1001)),
  };
}

/** A command line, and the sentence that it is answered with. */
export type Row = readonly [args: readonly string[] | string, sentence: RegExp];

const sizes = "--layers 2 --kv-heads 2 --query-heads 4 --head-dim 16 --tokens 9"; // SIZES

/** Runs a command line, in which names in capitals are paths, and looks at what it answers. */
export async function assertRefused(
  args: readonly string[] | string,
  sentence: RegExp,
): Promise<void> {
  using folder = new Folder();
  const known = Object.entries(paths(folder));
  const words = typeof args === "string" ? args.replace("SIZES", sizes).split(" ") : args;
  const given = words.map((word) =>
    known.reduce((text, [name, path]) => text.replace(new RegExp(`^${name}(?=/|$)`), path), word)
  );
  const { status, stdout, stderr } = await command(given);
  assertEquals([status, stdout], [2, ""], stderr);
  assertMatch(stderr, /^Cannot [^\n]+[^\n.]\n$/);
  const shown = known.toSorted(([, a], [, b]) => b.length - a.length)
    .reduce((text, [name, path]) => text.replaceAll(path, name), stderr.trimEnd());
  assertMatch(shown, sentence);
  // One colon stands behind what cannot be done; one more, behind a file, says what is in it.
  const own = shown.replaceAll(/\(.*\)|--host \S+/g, ""); // of a library; of the user
  const ofFile = /^Cannot (open model|read|write|go on)\b/.test(own);
  assert(own.split(": ").length - 1 <= (ofFile ? 2 : 1), shown);
}

/** One test for each row. */
export function testRefused(tables: Readonly<Record<string, readonly Row[]>>): void {
  for (const [what, rows] of Object.entries(tables)) {
    for (const [args, sentence] of rows) {
      const line = typeof args === "string" ? args : args.map((arg) => arg || '""').join(" ");
      const name = `specache refuses ${what}: ${JSON.stringify(line)}`;
      test(name, () => assertRefused(args, sentence));
    }
  }
}
