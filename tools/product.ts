// product.ts - leaves of deno.json what the product imports, so that an image is not filled with
// what tests do. It changes the checkout that it runs in, so it is for a copy of one.
import { readFileSync, rmSync, writeFileSync } from "node:fs";

interface Config {
  readonly imports: Readonly<Record<string, string>>;
  readonly links?: unknown;
}

/** The configuration without the imports that are none of these packages. */
export function productConfig(config: Config, packages: Readonly<Record<string, string>>): Config {
  const { links: _, ...rest } = config;
  const used = Object.entries(config.imports)
    .filter(([name]) => Object.hasOwn(packages, name.replace(/\/$/, "")));
  return { ...rest, imports: Object.fromEntries(used) };
}

if (import.meta.main) {
  const { dependencies } = JSON.parse(readFileSync("package.json", "utf8"));
  const config = productConfig(JSON.parse(readFileSync("deno.json", "utf8")), dependencies);
  writeFileSync("deno.json", JSON.stringify(config, null, 2) + "\n");
  rmSync("package.json");
}
