import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { modelsFlags, removeFlags } from "../../cli/models.ts";
import { pullFlags } from "../../cli/pull.ts";
import { pullingFolder } from "../../pull/kept.ts";
import { parseModelName } from "../../pull/name.ts";
import { assert, assertEquals, assertMatch, runtime, test } from "../harness.ts";
import { REPO } from "../pull/hub.ts";
import { abandonLock, filesOf, withEnvironment, withHub } from "../pull/support.ts";
import { command, Folder, idsText, jsonOf, pathOf } from "./command.ts";

const needle = filesOf("models/needle");
const WEIGHTS = "model.safetensors";
const plain = filesOf("tests/golden/llama-plain");

test("pull, models, plan, generate and rm know a model by its name", async () => {
  await withHub(needle, async ({ home }) => {
    const { status, stdout, stderr } = await command(["pull", REPO]);
    assertEquals(status, 0);
    assertMatch(stdout, /^owner\/model is here: 3\.78 MiB, .+\/hub\/owner\/model\n$/);
    assert(stdout.includes(home.path));
    assertMatch(stderr, /^\[#{24}\] 3\.78 MiB of 3\.78 MiB, .+\/s\nMeasuring a profile/);
    assert(existsSync(home.of("profiles")));
    const again = await command(["pull", REPO]);
    assertEquals([again.status, again.stderr], [0, ""]);
    assertMatch(again.stdout, /^owner\/model is here already: /);

    const { models } = await jsonOf(["models"]);
    assertEquals([models.length, models[0].name, models[0].commit], [1, REPO, "a".repeat(40)]);
    assertMatch((await command(["models"])).stdout, /owner\/model +3\.78 MiB +a{12} /);
    const of = (model: string) =>
      jsonOf(["plan", "--model", model, "--tokens", "100", "--no-measure"]);
    assertEquals(await of(REPO), await of(pathOf("models/needle")));
    const ask = ["--prompt", "The code of", "--max-tokens", "3", "--profile", "none"];
    const told = (model: string) => command(["generate", "--model", model, ...ask]);
    assertEquals((await told(REPO)).stdout, (await told(pathOf("models/needle"))).stdout);

    const removed = await command(["rm", REPO]);
    assertEquals([removed.status, removed.stdout], [0, ""]);
    assertMatch(removed.stderr, /^owner\/model is removed, and its profile .+\.safetensors\n$/);
    assert(!existsSync(models[0].path));
    assertEquals(readdirSync(home.of("profiles")), []);
    assertMatch((await command(["models"])).stderr, /^No models in .+; specache pull smollm2-/);
    assertEquals((await jsonOf(["models"])).models, []);
  });
});

test("pull --no-profile --json prints one object and measures nothing", async () => {
  await withHub(plain, async ({ home }) => {
    const { status, stdout } = await command(["pull", REPO, "--no-profile", "--json"]);
    const { path, current, bytes } = JSON.parse(stdout);
    assertEquals([status, current, path], [0, false, home.of("models/hub/owner/model")]);
    assert(bytes > plain[WEIGHTS].byteLength);
    assert(!existsSync(home.of("profiles")));
  });
});

test("a model without a tokenizer is pulled, and has no profile", async () => {
  await withHub(plain, async () => {
    const { status, stderr } = await command(["pull", REPO, "--verbose"]);
    assertEquals(status, 0);
    assertMatch(stderr, /\nNo profile: Cannot measure a profile: .+ has no tokenizer\n$/);
  });
});

test("on a terminal the bar of pull is drawn again and again", async () => {
  await withHub(needle, async () => {
    const { stderr } = await command(["pull", REPO, "--no-profile"], () => {});
    assert(stderr.startsWith("\r["));
    assertMatch(stderr, /\r\[#{24}\] 3\.78 MiB of 3\.78 MiB, [^\r]+\/s *\n$/);
  });
});

test("a pull that is killed leaves no model, and the next one goes on", async () => {
  await withHub(needle, async ({ hub, home }) => {
    const half = needle[WEIGHTS].subarray(0, 2_000_000);
    const stuck = Promise.withResolvers<void>();
    hub.fault = ({ host, path, range }, answer) => {
      if (host === "hub" || range !== undefined || !path.endsWith(WEIGHTS)) return false;
      answer.writeHead(200, { "content-length": needle[WEIGHTS].byteLength });
      answer.write(half, () => setTimeout(stuck.resolve, 300));
      return true;
    };
    const runs = runtime === "deno" ? ["run", "--quiet", "-A", "--no-check"] : [];
    const child = spawn(process.execPath, [...runs, pathOf("main.ts"), "pull", REPO]);
    const closed = once(child, "close");
    await stuck.promise;
    child.kill("SIGKILL");
    await closed;
    const pulling = pullingFolder(parseModelName(REPO)!);
    assert(existsSync(`${pulling}/lock`));
    abandonLock(`${pulling}/lock`); // as after the ten seconds that the next one waits
    const { stdout, stderr } = await command(["models"]);
    assertEquals(stdout, "");
    assertMatch(stderr, /^No models/);
    hub.asked.length = 0;
    assertEquals((await command(["pull", REPO, "--no-profile"])).status, 0);
    const [{ range }] = hub.askedFor(WEIGHTS);
    assertMatch(range!, /^bytes=\d{5,7}-$/);
    const got = readFileSync(home.of("models/hub/owner/model/model.safetensors"));
    assert(got.equals(needle[WEIGHTS]));
    assert(!existsSync(pulling));
  });
});

const NAME_WANTED = /name .+ is neither smollm2-135m-instruct nor OWNER\/MODEL\[@REVISION\]$/;
const refused: readonly (readonly [args: string[], sentence: RegExp])[] = [
  ...["pull", "rm"].flatMap((name): [string[], RegExp][] => [
    [
      [name],
      /^Cannot \w+( a model)?: 0 names are given, not 1 \(smollm2-135m-instruct or OWNER/,
    ],
    [[name, "a/b", "c/d"], /2 names are given, not 1 \(/],
    ...["", " ", "NaN", "-1e9".slice(1), "x".repeat(5000), "../../etc", "a/b@../c", "/etc", "."]
      .map(
        (bad): [string[], RegExp] => [[name, bad], NAME_WANTED],
      ),
    [[name, "-1"], /-1 is not a flag; --help lists them$/],
    [[name, "a/b", "--force"], /flag --force is not known; /],
    [[name, "a/b", "--verbose=1"], /--verbose takes no value, not 1/],
    [[name, "a/b", "--constructor"], /flag --constructor is not known; /],
  ]),
  [["pull", "a/b", "--file"], /--file is given no value$/],
  [["pull", "a/b", "--file", "--json"], /--file is given no value;/],
  [["pull", "a/b", "--file", "x", "--file", "y"], /--file is given twice, x and y$/],
  [["pull", REPO, "--file="], /--file "" is none of its files$/],
  [["pull", REPO, "--file", "../x.gguf"], /--file \.\.\/x\.gguf is none of its files$/],
  [["pull", "smollm2-135m-instruct", "--file", "x"], /--file x is for models of a hub$/],
  [["pull", "owner/other"], /^Cannot pull: .+ answers 404: there is no such model/],
  [["rm", "smollm2-135m-instruct"], /smollm2-135m-instruct is not here; specache models lists/],
  [["models", "x"], /^Cannot list models: x is not a flag; --help lists them$/],
  [["models", "--json=1"], /--json takes no value, not 1$/],
  [["plan", "--model", "smollm2-135m-instruct", "--tokens", "9"], /fetch it: specache pull smoll/],
  [["plan", "--model", "no/such", "--tokens", "9"], /no\/such does not exist.+pull no\/such$/],
];

test("bad input of pull, models, rm and names of models: one sentence, exit status 2", async () => {
  await withHub(plain, async ({ home }) => {
    for (const [args, sentence] of refused) {
      const line = args.join(" ").slice(0, 80);
      const { status, stdout, stderr } = await command(args);
      assertEquals([status, stdout], [2, ""], line);
      assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
      assertMatch(stderr.trimEnd(), sentence, line);
      assert(!existsSync(home.of("models/hub")), line);
    }
  });
});

test("the help of pull, models and rm names each of their flags", async () => {
  const all = { pull: pullFlags, models: modelsFlags, rm: removeFlags };
  for (const [name, flags] of Object.entries(all)) {
    const { status, stdout } = await command([name, "--help"]);
    assertEquals(status, 0);
    assert(stdout.startsWith(`specache ${name} `));
    for (const flag of Object.keys(flags)) assert(stdout.includes(`--${flag}`), flag);
  }
});

test("every command with --model says what fetches an alias", async () => {
  using home = new Folder();
  await withEnvironment({ SPECACHE_HOME: home.of("none") }, async () => {
    const model = ["--model", "smollm2-135m-instruct"];
    const ids = home.file("ids", idsText(9));
    const generate = ["generate", "--ids-file", ids];
    const lines = [generate, ["plan", "--tokens", "9"], ["profile"], ["eval"]];
    for (const line of lines) {
      const { status, stderr } = await command([...line, ...model]);
      assertEquals(status, 2);
      assertMatch(stderr, /is not fetched yet; fetch it: specache pull smollm2-135m-instruct\n$/);
    }
  });
});

test("a SPECACHE_HOME that is no folder: pull refuses it, models finds nothing", async () => {
  await withHub(plain, async ({ home }) => {
    await withEnvironment({ SPECACHE_HOME: home.file("file", "") }, async () => {
      const { status, stdout, stderr } = await command(["pull", REPO]);
      assertEquals([status, stdout], [2, ""]);
      assertMatch(
        stderr,
        /^Cannot pull owner\/model: .+\/lock has a file where its path wants a folder\n$/,
      );
      assertMatch((await command(["models"])).stderr, /^No models in /);
      const model = ["--model", pathOf("models/needle")];
      const profile = await command(["profile", ...model]);
      assertEquals([profile.status, profile.stdout], [2, ""]);
      assertMatch(profile.stderr, /^Cannot write profile: .+ has a file where its path wants a f/);
      const ask = [...model, "--prompt", "The code of", "--max-tokens", "1"];
      const generated = await command(["generate", ...ask]);
      assertEquals(generated.status, 0);
      assertMatch(generated.stderr, /^The profile is not kept: Cannot write profile: /m);
    });
  });
});
