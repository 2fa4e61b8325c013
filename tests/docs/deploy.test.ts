// The container's and systemd's files. No image is built and no service started here: there is no
// registry of images to ask, and no systemd runs. What can be told by reading them is.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { validate } from "dockerfile-utils";
import { serveFlags } from "../../cli/serve.ts";
import { Folder, pathOf } from "../cli/command.ts";
import { assert, assertEquals, assertFalse, assertMatch, test } from "../harness.ts";

const dockerfile = readFileSync(pathOf("deploy/Dockerfile"), "utf8");
const service = readFileSync(pathOf("deploy/specache.service"), "utf8");

test("the Dockerfile has no fault that dockerfile-utils finds", () => {
  const faults = validate(dockerfile).map(({ range, message }) =>
    `${range.start.line}: ${message}`
  );
  assertEquals(faults, []);
});

// Instructions of the last stage, continued lines joined.
function lastStage(): string[] {
  const lines = dockerfile.replaceAll(/^#.*\n/gm, "").replaceAll(/\\\n\s*/g, "").split("\n");
  return lines.slice(lines.findLastIndex((line) => line.startsWith("FROM ")));
}

test("the image pins its bases, is no user of the host, tells its health, wants keys", () => {
  const bases = [...dockerfile.matchAll(/^ARG (?:BASE|DENO)=(.+)$/gm)].map(([, image]) => image);
  assertEquals(bases.length, 2);
  for (const image of bases) assertMatch(image, /^[\w/]+:[\w.-]*\d+\.\d+[\w.-]*$/);
  for (const [, image] of dockerfile.matchAll(/^FROM (\S+)/gm)) assertMatch(image, /^\$\{\w+\}$/);
  const stage = lastStage();
  const one = (name: string) => stage.filter((line) => line.startsWith(`${name} `));
  assertEquals(one("USER"), ["USER 10001:10001"]);
  assert(stage.indexOf(one("USER")[0]) > stage.findLastIndex((line) => line.startsWith("RUN ")));
  assertMatch(one("HEALTHCHECK")[0], /127\.0\.0\.1:8080\/health/);
  const command = JSON.parse(one("ENTRYPOINT")[0].replace("ENTRYPOINT ", "")) as string[];
  assertEquals(command.slice(-4), [
    ...["--host", "0.0.0.0", "--api-key-file", "/run/secrets/specache_keys"],
  ]);
  assertFlags(command);
  assertFalse(/(ENV|ARG) .*(KEY|SECRET|PASSWORD)/i.test(dockerfile), "a secret in the image");
});

function assertFlags(command: readonly string[]): void {
  const own = command.slice(command.indexOf("serve") + 1).filter((each) => each.startsWith("--"));
  for (const flag of own) assert(flag.slice(2) in serveFlags, `${flag} is no flag of serve`);
}

test("the image is built of a folder without models, builds and keys", () => {
  const ignored = readFileSync(pathOf("deploy/Dockerfile.dockerignore"), "utf8").split("\n");
  assert(ignored.includes("*"));
  const taken = ignored.filter((line) => line.startsWith("!")).map((line) => line.slice(1));
  const { publish } = JSON.parse(readFileSync(pathOf("deno.json"), "utf8"));
  const needed = publish.include.filter((name: string) => !name.endsWith(".md"));
  assertEquals(needed.filter((name: string) => !taken.includes(name)), []);
  for (const name of ["models", "tests", "build", "node_modules"]) {
    assertFalse(taken.includes(name));
  }
});

const hardened: readonly [name: string, value: string | RegExp][] = [
  ["DynamicUser", "yes"],
  ["ProtectSystem", "strict"],
  ["ProtectHome", "yes"],
  ["PrivateTmp", "yes"],
  ["NoNewPrivileges", "yes"],
  ["CapabilityBoundingSet", ""],
  ["MemoryMax", /^\d+%$/],
  ["KillSignal", "SIGTERM"],
  ["TimeoutStopSec", /^\d+$/],
  ["Restart", "on-failure"],
];

test("the service is bounded, ends by SIGTERM, starts again, has its keys as a credential", () => {
  const values = (name: string) =>
    [...service.matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].map(([, value]) => value);
  for (const [name, value] of hardened) {
    const [found, ...more] = values(name);
    assertEquals(more, [], name);
    if (typeof value === "string") assertEquals(found, value, name);
    else assertMatch(found, value, name);
  }
  assertEquals(values("LoadCredential"), ["keys:/etc/specache/keys"]);
  const command = service.replaceAll(/\\\n\s*/g, "").match(/^ExecStart=(.+)$/m)![1].split(" ");
  assertFlags(command);
  assertEquals(command[command.indexOf("--api-key-file") + 1], "${CREDENTIALS_DIRECTORY}/keys");
});

test("systemd-analyze, where it is, finds no fault in the service and little to attack", () => {
  if (spawnSync("systemd-analyze", ["--version"]).error) {
    console.log("  no systemd-analyze here: the service is checked by its text alone");
    return;
  }
  using folder = new Folder();
  // The program need not be installed where it will be.
  const text = service.replace("/usr/local/bin/deno", process.execPath);
  const file = folder.file("specache.service", text);
  const checks = [["verify"], ["security", "--offline=true", "--threshold=20"]];
  for (const check of checks) {
    const { status, stdout, stderr } = spawnSync("systemd-analyze", [...check, file], {
      encoding: "utf8",
    });
    assertEquals(status, 0, `${stdout}${stderr}`);
  }
});
