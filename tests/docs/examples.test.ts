// Every ```ts block of the README, of docs/ and of a public docstring runs, and prints what its
// comments say: a line `console.log(...); // 4 32` must print "4 32".
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { join } from "node:path";
import { assert, assertEquals, test } from "../harness.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const BLOCK = /^( \* )?```ts\n([\s\S]*?)^\1?```$/gm;
const PRINTS = /console\.log\(.*\);? \/\/ (.+)$/gm;

// What the package exports, by the name that users import.
const modules = {
  "@specache/specache": "mod.ts",
  "@specache/specache/app": "routes/app.ts",
  "@specache/specache/edge": "edge/remote.ts",
};

interface Example {
  readonly name: string;
  readonly code: string;
}

async function examplesOf(path: string): Promise<Example[]> {
  const text = await readFile(join(root, path), "utf8");
  return [...text.matchAll(BLOCK)].map(({ 1: margin, 2: body }, i) => ({
    name: `example ${i + 1} of ${path}`,
    code: margin === undefined ? body : body.replace(/^ \* ?/gm, ""),
  }));
}

async function printed(code: string): Promise<string[]> {
  await mkdir(join(root, "build"), { recursive: true });
  const folder = await mkdtemp(join(root, "build", "example-"));
  const lines: string[] = [];
  const { log } = console;
  try {
    const file = join(folder, "example.ts");
    let own = code;
    for (const [name, module] of Object.entries(modules)) {
      own = own.replaceAll(`"${name}"`, `"${pathToFileURL(join(root, module)).href}"`);
    }
    await writeFile(file, own);
    console.log = (...values) => void lines.push(values.join(" "));
    await import(pathToFileURL(file).href);
  } finally {
    console.log = log;
    await rm(folder, { recursive: true, force: true });
  }
  return lines;
}

async function filesOf(folder: string, ending: string): Promise<string[]> {
  const names = (await readdir(join(root, folder))).filter((name) => name.endsWith(ending));
  return names.map((name) => `${folder}/${name}`);
}

const paths = [
  ...["README.md", "mod.ts"],
  ...await filesOf("docs", ".md"),
  ...await filesOf("edge", ".ts"),
  ...await filesOf("engine", ".ts"),
  ...await filesOf("routes", ".ts"),
];
const examples = (await Promise.all(paths.map(examplesOf))).flat();

test("the README and the public classes have examples", () => {
  for (
    const path of [
      "README.md",
      "engine/engine.ts",
      "engine/store.ts",
      "routes/app.ts",
      "edge/remote.ts",
    ]
  ) {
    assert(examples.some(({ name }) => name.endsWith(path)), path);
  }
});

for (const { name, code } of examples) {
  test(`${name} runs and prints what it says`, async () => {
    const lines = await printed(code);
    const said = [...code.matchAll(PRINTS)].map(([, text]) => text);
    for (const text of said) assert(lines.includes(text), `${text} is not in ${lines.join(", ")}`);
    assertEquals(lines.length > 0, code.includes("console.log"));
  });
}
