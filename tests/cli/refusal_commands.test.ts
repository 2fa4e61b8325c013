// Bad input to serve, eval and profile, and devices, ports and folders that are not there.
import { createServer } from "node:net";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { askCuda } from "../../cli/doctor/machine.ts";
import { generateFlags } from "../../cli/generate.ts";
import { statusOf } from "../../cli/run.ts";
import { sentenceOf } from "../../cli/words.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { refusedAs } from "../../engine/system.ts";
import { assertEquals, assertMatch, test } from "../harness.ts";
import { assertRefused, type Row, testRefused } from "./refused.ts";

const served = "serve --model NEEDLE --context 128 --chat-template TEMPLATE";

const servers: readonly Row[] = [
  ["serve", /^Cannot serve: --model is missing$/],
  ["serve --model NONE", /^Cannot open model: NONE does not exist$/],
  ["serve --model TINY", /^Cannot serve: model llama-plain has no tokenizer$/],
  [
    "serve --model NEEDLE",
    /^Cannot serve: model needle has no chat template, so --chat-template m/,
  ],
  [
    "serve --model NEEDLE --chat-template NONE",
    /^Cannot read --chat-template NONE: it does not exist$/,
  ],
  [
    "serve --model NEEDLE --chat-template BROKEN",
    /^Cannot serve: the template of model needle is not understood \(/,
  ],
  [`${served} --prompt a`, /^Cannot serve: flag --prompt is not known; --help lists them$/],
  [`${served} --json`, /flag --json is not known; --help lists them$/],
  [`${served} --guesses 1`, /flag --guesses is not known; --help lists them$/],
  [`${served} --k -1`, /^Cannot serve: --k -1 is below 0$/],
  ["serve --model NEEDLE --chat-template TEMPLATE --context 0", /--context 0 is below 1$/],
  [`${served} --sequences 0`, /^Cannot serve: --sequences 0 is below 1$/],
  [`${served} --sequences 1025`, /--sequences 1025 is above 1024$/],
  [`${served} --pool 127`, /: --pool 127 is below --context 128$/],
  [`${served} --pool 513`, /: --pool 513 is above 512, --context of 4 sequences$/],
  [`${served} --prefixes -1`, /^Cannot serve: --prefixes -1 is below 0$/],
  [`${served} --prefixes 1001`, /--prefixes 1001 is above 1000$/],
  [`${served} --reuse maybe`, /^Cannot serve: --reuse maybe is none of none, prompt, generated$/],
  [`${served} --queue -1`, /^Cannot serve: --queue -1 is below 0$/],
  [`${served} --store-bytes -1`, /^Cannot serve: --store-bytes -1 is below 0$/],
  [[...served.split(" "), "--name", ""], /^Cannot serve: --name "" is empty$/],
  [`${served} --port many`, /^Cannot serve: --port many is not a number$/],
  [[...served.split(" "), "--port", ""], /--port "" is not a number$/],
  [`${served} --port -1`, /--port -1 is below 0$/],
  [`${served} --port 65536`, /--port 65536 is above 65535$/],
  [`${served} --port 80.5`, /--port 80\.5 is not an integer$/],
  [`${served} --port NaN`, /--port NaN is not a number$/],
  [`${served} --port`, /--port is given no value$/],
  [[...served.split(" "), "--host", ""], /--host "" is empty$/],
  ...["0.0.0.0", "::", "192.0.2.1", "example.com", "127.0.0.1.example.com"].map((host): Row => [
    `${served} --host ${host}`,
    /^Cannot serve: --host \S+ can be reached from other machines, so --api-key-file or --allow-/,
  ]),
  [
    `${served} --host 192.0.2.1 --allow-anyone`,
    /^Cannot serve: --host 192\.0\.2\.1 is no address of this machine$/,
  ],
  [
    `${served} --host 192.0.2.1 --api-key-file KEYS`,
    /^Cannot serve: --host 192\.0\.2\.1 is no address of this machine$/,
  ],
  [
    `${served} --host nope.invalid --allow-anyone`,
    /^Cannot serve: --host nope\.invalid is no address of this machine$/,
  ],
  [`${served} --api-key-file=`, /^Cannot read --api-key-file "": it is empty, and wants a path$/],
  [`${served} --port 1e30`, /--port 1e\+30 is above 65535$/],
  [`${served} --allow-anyone --api-key-file KEYS`, /--allow-anyone is given with --api-key-file$/],
  [
    `${served} --allow-anyone --operator-key-file KEYS`,
    /--allow-anyone is given with --operator-key-file$/,
  ],
  [`${served} --operator-key-file NONE`, /^Cannot read --operator-key-file NONE: it does not exis/],
  [
    `${served} --api-key-file KEYS --operator-key-file BLANK`,
    /^Cannot serve: --operator-key-file BLANK has no key; write one a line$/,
  ],
  [
    `${served} --operator-key-file UMLAUT`,
    /--operator-key-file UMLAUT, line 1, character 2 is not visible ASCII$/,
  ],
  [
    `${served} --host 192.0.2.1 --operator-key-file KEYS`,
    /^Cannot serve: --host 192\.0\.2\.1 is no address of this machine$/,
  ],
  [`${served} --allow-anyone=yes`, /--allow-anyone takes no value, not yes$/],
  [`${served} --api-key-file NONE`, /^Cannot read --api-key-file NONE: it does not exist$/],
  [
    `${served} --api-key-file EMPTY`,
    /^Cannot read --api-key-file EMPTY: it is a folder, not a file$/,
  ],
  [
    `${served} --api-key-file BLANK`,
    /^Cannot serve: --api-key-file BLANK has no key; write one a line$/,
  ],
  [`${served} --api-key-file NOKEYS`, /NOKEYS has no key; write one a line$/],
  [`${served} --api-key-file SPACED`, /SPACED, line 2, character 4 is not visible ASCII$/],
  [`${served} --api-key-file UMLAUT`, /UMLAUT, line 1, character 2 is not visible ASCII$/],
  [`${served} --api-key-file LONGKEY`, /LONGKEY, line 1 has 1001 characters, above 1000$/],
];

const evalNeedle = "eval --model NEEDLE";
const onNeedle = `${evalNeedle} --tasks needle --samples 1 --tokens 256`;

const evaluations: readonly Row[] = [
  ["eval", /^Cannot evaluate: --model is missing$/],
  [`${evalNeedle} --tasks nope`, /^Cannot evaluate: --tasks nope is none of needle, multikey, /],
  [`${evalNeedle} --tasks=`, /^Cannot evaluate: --tasks "" is none of needle, /],
  [`${evalNeedle} --tasks needle,`, /--tasks "" is none of needle, /],
  [`${evalNeedle} --tokens 1024,many`, /^Cannot evaluate: --tokens many is not a number$/],
  [`${evalNeedle} --tokens=`, /--tokens "" is not a number$/],
  [`${evalNeedle} --tokens 255`, /--tokens 255 is below 256$/],
  [`${evalNeedle} --tokens 1e30`, /--tokens 1e\+30 is above 16777216$/],
  [`${evalNeedle} --tokens 99999`, /--tokens 99999 and 80 steps are above the model's 16384 posi/],
  ...[
    { flag: "samples", least: 1, most: 100_000 },
    { flag: "steps", least: 1, most: 80 },
    { flag: "seed", least: 0, most: 2 ** 53 - 1 },
    { flag: "threads", least: 1, most: 256 },
  ].flatMap(({ flag, least, most }): Row[] => [
    [`${evalNeedle} --${flag} -1`, new RegExp(`--${flag} -1 is below ${least}$`)],
    [`${evalNeedle} --${flag} many`, new RegExp(`--${flag} many is not a number$`)],
    [`${evalNeedle} --${flag} 1e30`, new RegExp(`--${flag} 1e\\+30 is above ${most}$`)],
  ]),
  [`${evalNeedle} --far disk`, /--far disk is none of ram, file$/],
  [`${evalNeedle} --shard 1/1`, /--shard 1\/1 is not I\/N, I from 0 and below N$/],
  [`${evalNeedle} --shard=`, /--shard "" is not I\/N, /],
  [`${evalNeedle} --modes specache[k=-1]`, /^Cannot evaluate a mode: k -1 is below 0$/],
  ...["resume", "documents", "output", "report"].flatMap((flag): Row[] => [
    [
      `${evalNeedle} --${flag} NONE/file`,
      new RegExp(`^Cannot write --${flag} NONE/file: it is in a folder that does not exist; make`),
    ],
    [`${evalNeedle} --${flag} EMPTY`, new RegExp(`--${flag} EMPTY: it is a folder, not a file$`)],
    [`${evalNeedle} --${flag} TEXT/file`, /it has a file where its path wants a folder$/],
    [`${evalNeedle} --${flag}=`, /it is empty, and wants a path$|"" is empty$/],
  ]),
  [`${onNeedle} --resume TEXT`, /^Cannot go on with TEXT: it is no file of results; name anothe/],
  [`${onNeedle} --resume TEMPLATE`, /TEMPLATE: it is no file of results; /],
];

const profiles: readonly Row[] = [
  ["profile --model NEEDLE --tokens 1e30", /--tokens 1e\+30 is above 16777216$/],
  ["profile --model NEEDLE --threads 0", /--threads 0 is below 1$/],
  // What is there is somebody's.
  ["profile --model NEEDLE --output BROKEN", /--output BROKEN: it exists; name a new one$/],
  ["eval --model NEEDLE --output BROKEN", /--output BROKEN: it exists; name a new one$/],
  ["eval --model NEEDLE --documents BROKEN", /--documents BROKEN holds something else; name a new/],
  [
    "eval --model NEEDLE --resume FAR --output FAR",
    /^Cannot evaluate: --resume and --output are both FAR$/,
  ],
  ["eval --model NEEDLE --report BROKEN", /--report BROKEN: it exists; name a new one$/],
  [
    "plan --model NEEDLE --tokens 16385 --no-measure",
    /^Cannot plan: --tokens 16385 is above the model's 16384/,
  ],
  ["profile --model NEEDLE --text NONE", /^Cannot read --text NONE: it does not exist$/],
  ["profile --model NEEDLE --text EMPTY", /^Cannot read --text EMPTY: it is a folder, not a file$/],
  ["profile --model NEEDLE --text=", /--text "" is empty$/],
  ["profile --model NEEDLE --text TEXT", /the text has \d+ tokens, below 128; name a longer one/],
  [
    "profile --model NEEDLE --output NONE/file",
    /^Cannot write --output NONE\/file: it is in a folder that does not exist; make it first$/,
  ],
  ["profile --model NEEDLE --output EMPTY", /--output EMPTY: it is a folder, not a file$/],
  ["profile --model NEEDLE --output=", /--output "" is empty$/],
];

testRefused({ servers, evaluations, profiles });

test("a port that is taken is refused by its flag", async () => {
  await using server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const sentence = `--port ${port} of --host 127.0.0.1 is taken; end who has it, or name another$`;
  await assertRefused(`${served} --port ${port}`, new RegExp(sentence));
});

test("--device cuda on a machine without a GPU: exit status 2, and what to do", async () => {
  if (askCuda().gpu !== null) return;
  const advice = "; specache doctor tells what is missing, --device cpu goes without$";
  const sentence = new RegExp(`^Cannot open an engine: --device cuda [^:]+${advice}`);
  for (const line of ["generate --model NEEDLE --prompt a", served]) {
    await assertRefused(`${line} --device cuda`, sentence);
  }
});

test("what the driver answers is told by its meaning", () => {
  const error = new SpecacheError(
    "device",
    "Cannot open an engine: device cuda: CUDA error 100, cudaErrorNoDevice: no device",
  );
  assertMatch(
    sentenceOf(error, {}),
    /--device cuda answers 100 cudaErrorNoDevice, the driver sees/,
  );
  assertEquals(statusOf(error), 2);
});

// [the engine's sentence, the command line's]
const told: readonly (readonly [sentence: string, shown: string])[] = [
  ["far file /a b: Permission denied", "--far /a b may not be written by this user"],
  ["far file /a: Read-only file system", "--far /a cannot be made (Read-only file system)"],
  [
    "far file /a needs 9 bytes, its disk has 2 free: No space left on device",
    "--far /a needs 9 bytes, its disk has 2 free (No space left on device)",
  ],
  ["device cuda has no audits", "--device cuda has no audits; leave out --audit"],
  ["contextTokens 9 is above the model's 2", "--context 9 is above the model's 2"],
  ["pages of /a.contextTokens/b are 3", "pages of /a.contextTokens/b are 3"],
];

test("what the engine says is told in flags", () => {
  for (const [sentence, shown] of told) {
    const error = new SpecacheError("file", `Cannot open an engine: ${sentence}`);
    assertEquals(sentenceOf(error, generateFlags), `Cannot open an engine: ${shown}`);
  }
});

test("a file that this user may not use is told without the system's code", () => {
  const denied = Object.assign(new Error("EACCES: permission denied"), { code: "EACCES" });
  assertEquals(refusedAs(denied, "read"), "may not be read by this user");
  assertEquals(refusedAs(denied, "written"), "may not be written by this user");
});
