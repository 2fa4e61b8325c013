import { readFileSync } from "node:fs";
import { productConfig } from "../../tools/product.ts";
import { pathOf } from "../cli/command.ts";
import { assert, assertEquals, test } from "../harness.ts";

const config = JSON.parse(readFileSync(pathOf("deno.json"), "utf8"));
const manifest = JSON.parse(readFileSync(pathOf("package.json"), "utf8"));

test("productConfig() keeps the imports of what package.json depends on, and no others", () => {
  const { imports, version, links } = productConfig(config, manifest.dependencies) as typeof config;
  const names = Object.keys(imports).map((name) => name.replace(/\/$/, "")).sort();
  assertEquals(names, Object.keys(manifest.dependencies).sort());
  assertEquals([version, links], [config.version, undefined]);
  assert(!("openai" in imports) && "openai" in config.imports);
});

test("deno.json and package.json name the same versions", () => {
  const all = { ...manifest.dependencies, ...manifest.devDependencies };
  for (const [name, version] of Object.entries(all)) {
    const specifiers = Object.entries<string>(config.imports)
      .filter(([own]) => own.replace(/\/$/, "") === name).map(([, specifier]) => specifier);
    for (const specifier of specifiers) {
      assert(specifier.includes(`${name}@${version}`), `${specifier} is not ${version}`);
    }
  }
});
