// tools/on-gpu.sh with stubs in the place of its programs: what it writes, how it ends, and that it
// stops where no GPU answers. Its build is not run here.
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { assert, assertEquals, assertStringIncludes, test } from "../harness.ts";

interface Ended {
  readonly status: number | null;
  readonly output: string;
  readonly results: string;
}

/** Runs it with programs that are these shell scripts. */
function onGpu(programs: Readonly<Record<string, string>>, args: readonly string[] = []): Ended {
  const folder = mkdtempSync(join(tmpdir(), "specache-on-gpu-"));
  try {
    // No engine, no sanitizer and no card of this machine, whatever it has.
    const hidden = { deno: "echo no packages; exit 1", "nvidia-smi": "exit 1" };
    const sanitizer = { "compute-sanitizer": 'shift 4; exec "$@"' };
    for (const [name, body] of Object.entries({ ...hidden, ...sanitizer, ...programs })) {
      writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`);
      chmodSync(join(folder, name), 0o755);
    }
    const all = ["tools/on-gpu.sh", "--out", folder, "--programs", folder, ...args];
    const env = { ...process.env, PATH: `${folder}:${process.env.PATH}` };
    const { status, stdout, stderr } = spawnSync("bash", all, { encoding: "utf8", env });
    const path = join(folder, "results.json");
    const results = status === 2 ? "" : readFileSync(path, "utf8");
    return { status, output: stdout + stderr, results };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

// Its figure goes to the file behind --json; what is no number behind --far-gib fails it.
const bench = `name=$1
while [ $# -gt 1 ]; do
  case "$1 $2" in
    --far-gib*[!0-9.]) echo "no number: $2"; exit 2 ;;
    --json*) echo "{\\"part\\":\\"$name\\",\\"us\\":2}" >>"$2" ;;
  esac
  shift
done
echo "a line of $name"`;
const kernels = `echo '3 passed, 0 failed'`;

test("on-gpu.sh runs all parts, and its results are JSON with every figure", () => {
  const { status, output, results } = onGpu({ bench, kernels });
  assertEquals(status, 0, output);
  const { machine, parts, figures } = JSON.parse(results);
  assert(machine.commit.length > 0 && machine.date.length > 0);
  const names = figures.map(({ part }: { part: string }) => part);
  assertEquals(names, ["check", "card", "kernels", "fetch", "step"]);
  assertEquals(parts["kernel-tests"], "went well: 3 passed, 0 failed");
  assertEquals(parts.racecheck, "went well: 3 passed, 0 failed");
  assertEquals(parts.engine, "not run: its packages are not on this machine: no packages");
});

test("on-gpu.sh tells a part that failed and goes on, and ends with status 1", () => {
  const { status, output, results } = onGpu({
    bench,
    kernels: "echo '2 passed, 1 failed'; exit 1",
  });
  assertEquals(status, 1, output);
  const { parts } = JSON.parse(results);
  assertEquals(parts["kernel-tests"], "FAILED with status 1: 2 passed, 1 failed");
  assertEquals(parts["bench-step"], "went well");
});

test("on-gpu.sh stops with one sentence and status 3 where no GPU answers", () => {
  const says = "CUDA error 100, cudaErrorNoDevice: no CUDA-capable device is detected";
  const { status, output, results } = onGpu({ bench: `echo "${says}"; exit 1`, kernels });
  assertEquals(status, 3, output);
  assertStringIncludes(
    output,
    `Stopped: all is built, but no GPU answers here, so nothing was run (${says}).`,
  );
  assertEquals(JSON.parse(results).parts["kernel-tests"], "not run: no GPU answers");
});

test("on-gpu.sh has no time beyond its minutes, and refuses what it does not know", () => {
  const late = onGpu({ bench, kernels }, ["--minutes", "0"]);
  assertEquals(late.status, 0, late.output);
  assertEquals(JSON.parse(late.results).parts["bench-step"], "not run: no time was left");
  const refused = onGpu({ bench, kernels }, ["--speed", "fast"]);
  assertEquals(refused.status, 2);
  assertStringIncludes(refused.output, "Cannot run on the GPU: option --speed is not known");
});
