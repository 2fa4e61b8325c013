// schemathesis, from PyPI, against /openapi.json: the answers to requests that it makes of the
// schemas, right ones and wrong ones, alone and one after the other. It is installed in a folder of
// its own that goes away, and needs python3 with venv, and the network.
import { execFile } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { ensureLibrary, KvStore } from "../../mod.ts";
import { createApp } from "../../routes/app.ts";
import { Folder } from "../cli/command.ts";
import { assertEquals, assertMatch, test } from "../harness.ts";
import { FakeEngine } from "../routes/fake.ts";
import { onPort } from "../routes/socket.ts";

const VERSION = "4.32.5";

// 503 is said of what passes. What of two fields only one may be given no schema here tells, so
// that a right request may be refused.
const settings = `
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]
positive_data_acceptance.enabled = false
`;

const run = promisify(execFile);

test("schemathesis finds no answer that /openapi.json does not tell of", async () => {
  await ensureLibrary();
  using folder = new Folder();
  const python = join(folder.of("venv"), "bin", "python");
  await run("python3", ["-m", "venv", folder.of("venv")]);
  const install = ["-m", "pip", "install", "--quiet", `schemathesis==${VERSION}`];
  await run(python, [...install, "--disable-pip-version-check"]);
  const file = folder.file("schemathesis.toml", settings);
  const engine = new FakeEngine({ sequences: 64, sessionsMax: 64, contextTokens: 1 << 24 });
  const reported: unknown[] = [];
  const app = createApp(engine, {
    ...{ keys: ["secret"], stores: KvStore, storeBytesMax: 64e6, idleSeconds: 30 },
    report: (error) => void reported.push(error),
  });
  await onPort(app, async (port) => {
    const { stdout, failed } = await run(join(folder.of("venv"), "bin", "schemathesis"), [
      ...["--config-file", file, "run", `http://127.0.0.1:${port}/openapi.json`],
      ...["--header", "Authorization: Bearer secret", "--seed", "1", "--max-examples", "60"],
      ...["--no-color", "--request-timeout", "120", "--suppress-health-check", "all"],
      ...["--continue-on-failure", "--exclude-path", "/v1/events"], // its answer never ends
    ], { cwd: folder.path, maxBuffer: 1 << 28, env: { ...process.env, NO_COLOR: "1" } })
      .then(
        ({ stdout }) => ({ stdout, failed: false }),
        ({ stdout }) => ({ stdout, failed: true }),
      );
    assertEquals(failed, false, stdout.slice(-20_000));
    assertMatch(stdout, /Tested: \d+\n/);
  });
  assertEquals(reported, []);
});
