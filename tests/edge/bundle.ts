// bundle.ts - the worker of examples/edge as one module, as wrangler makes it.
import { readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { build, type Plugin } from "esbuild";
import { pathOf } from "../cli/command.ts";

/** What wrangler.jsonc says. */
export interface WorkerConfig {
  readonly main: string;
  readonly compatibility_date: string;
  readonly compatibility_flags: string[];
  readonly vars: Record<string, string>;
}

/** The worker's configuration. */
export function workerConfig(): WorkerConfig {
  const text = readFileSync(pathOf("examples/edge/wrangler.jsonc"), "utf8");
  return JSON.parse(text.replaceAll(/^\s*\/\/.*$/gm, ""));
}

/** Bundles the worker; `modules` are the files and packages that it took in. */
export async function bundledWorker(): Promise<{ readonly code: string; modules: string[] }> {
  const { outputFiles, metafile } = await build({
    entryPoints: [pathOf(`examples/edge/${workerConfig().main}`)],
    absWorkingDir: pathOf(""),
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    target: "es2022",
    conditions: ["workerd", "worker", "browser"],
    mainFields: ["module", "main"],
    external: ["node:*"],
    plugins: [builtins],
  });
  return { code: outputFiles[0].text, modules: Object.keys(metafile.inputs) };
}

// CommonJS packages require what the runtime brings; an ES module can only import it.
const builtins: Plugin = {
  name: "builtins",
  setup(build) {
    const names = new RegExp(`^(node:)?(${builtinModules.join("|")})$`);
    build.onResolve({ filter: names }, ({ path, kind }) => {
      const name = `node:${path.replace(/^node:/, "")}`;
      if (kind !== "require-call") return { path: name, external: true };
      return { path: name, namespace: "builtin" };
    });
    build.onLoad({ filter: /.*/, namespace: "builtin" }, ({ path }) => ({
      contents: `import builtin from "${path}"; module.exports = builtin;`,
    }));
  },
};
