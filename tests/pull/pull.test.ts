import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Engine } from "../../engine/engine.ts";
import { describeModel } from "../../engine/model/describe.ts";
import { modelHash, profilePath } from "../../engine/profile_store.ts";
import { SpecacheError } from "../../engine/errors.ts";
import { LOCK } from "../../ffi/lock.ts";
import {
  findKept,
  listKept,
  MANIFEST,
  modelsFolder,
  pullingFolder,
  removeKept,
} from "../../pull/kept.ts";
import { parseModelName } from "../../pull/name.ts";
import { modelPath } from "../../pull/path.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
  test,
} from "../harness.ts";
import { REPO } from "./hub.ts";
import { abandonLock, filesOf, withHub } from "./support.ts";

const sharded = filesOf("tests/golden/llama-bf16-sharded-tied");
const plain = filesOf("tests/golden/llama-plain");
const gguf = readFileSync(new URL("../golden/gguf/llama-plain.f32.gguf", import.meta.url));
const name = parseModelName(REPO)!;
const bytes = (text: string) => new TextEncoder().encode(text);

test("pull() brings the files of a sharded model and no others, and the model opens", async () => {
  const more = { "pytorch_model.bin": bytes("x"), "README.md": bytes("y") };
  await withHub({ ...sharded, ...more }, async ({ hub, pull }) => {
    const told: [number, number][] = [];
    const { model, current } = await pull(REPO, { progress: (...now) => told.push(now) });
    const wanted = [
      "config.json",
      "generation_config.json",
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
    ];
    assertEquals(readdirSync(model.folder).sort(), [...wanted, MANIFEST].sort());
    for (const file of wanted) {
      assertEquals(readFileSync(join(model.folder, file)), sharded[file] as typeof gguf);
      assertEquals(hub.askedFor(file).length, 1, file);
    }
    assertEquals([current, model.name, model.commit], [false, REPO, hub.commit]);
    assertEquals(model.bytes, wanted.reduce((sum, file) => sum + sharded[file].byteLength, 0));
    assertEquals(told.at(-1), [model.bytes, model.bytes]);
    assert(describeModel(model.path).layers > 0);
    assertEquals(listKept(), [model]);
    assertEquals(modelPath(REPO), model.path);
    assert(!existsSync(pullingFolder(name)));
  });
});

test("pull() of what is here fetches nothing, and what a revision has become since", async () => {
  await withHub(plain, async ({ hub, pull }) => {
    await pull();
    const asked = hub.asked.length;
    assertEquals((await pull()).current, true);
    assertEquals(hub.asked.length, asked + 3); // the commit and two pages of the list
    hub.commit = "b".repeat(40);
    hub.files.set("generation_config.json", bytes("{}"));
    const { model, current } = await pull();
    assertEquals([current, model.commit], [false, hub.commit]);
    assertEquals(readFileSync(join(model.folder, "generation_config.json"), "utf8"), "{}");
    assertEquals(listKept().length, 1);
  });
});

test("a revision is a model of its own; one with a slash is one folder", async () => {
  await withHub(plain, async ({ hub, pull }) => {
    hub.revisions.push("refs/pr/1");
    const { model } = await pull(`${REPO}@refs/pr/1`);
    assertEquals(model.name, `${REPO}@refs/pr/1`);
    assertEquals(modelPath(`${REPO}@refs/pr/1`), model.path);
    assertEquals(findKept(name), null);
    const { message } = assertThrows(() => modelPath(REPO), SpecacheError);
    assertMatch(message, /owner\/model does not exist.* specache pull owner\/model$/);
  });
});

test("rm keeps a profile that another pulled model needs", async () => {
  await withHub(plain, async ({ hub, pull }) => {
    hub.revisions.push("v1");
    const { model } = await pull();
    await pull(`${REPO}@v1`); // the same weights
    const profile = profilePath(modelHash(describeModel(model.path)));
    mkdirSync(dirname(profile), { recursive: true });
    writeFileSync(profile, "");
    assertEquals(await removeKept(name), null);
    assert(existsSync(profile));
    assertEquals(await removeKept(parseModelName(`${REPO}@v1`)!), profile);
    assert(!existsSync(profile));
  });
});

test("of GGUF files the only one is taken, or the one that is asked for", async () => {
  await withHub({ "a.gguf": gguf, "mmproj-a.gguf": bytes("x") }, async ({ hub, pull }) => {
    assertMatch((await pull()).model.path, /a\.gguf$/);
    hub.files.set("b.gguf", gguf);
    hub.files.set("c-00001-of-00002.gguf", gguf);
    hub.commit = "b".repeat(40);
    assertMatch((await pull()).model.path, /a\.gguf$/); // as last time
    const { model } = await pull(REPO, { file: "b.gguf" });
    assertEquals(readdirSync(model.folder).sort(), ["b.gguf", MANIFEST]);
    assertEquals(describeModel(model.path).layers, describeModel(modelPath(REPO)).layers);
    await removeKept(name);
    const refused = async (code: string, sentence: RegExp, file?: string) => {
      const error = await assertRejects(() => pull(REPO, { file }), SpecacheError);
      assertEquals(error.code, code);
      assertMatch(error.message, sentence);
    };
    await refused("argument", /it has 2 GGUF files; choose with --file: a\.gguf, b\.gguf$/);
    await refused("argument", /--file ..\/x is none of a\.gguf, b\.gguf$/, "../x");
    for (const file of ["a.gguf", "b.gguf"]) hub.files.delete(file);
    await refused("unsupported", /its GGUF files are parts of one, not /);
    hub.files.clear();
    await refused("unsupported", /it has neither, not config\.json with model\.safetensors/);
  });
});

test("a model that cannot be opened is refused by its config, before its weights", async () => {
  const config = bytes(JSON.stringify({ architectures: ["GPT2LMHeadModel"], model_type: "gpt2" }));
  await withHub({ ...plain, "config.json": config }, async ({ hub, pull }) => {
    const error = await assertRejects(() => pull(), SpecacheError);
    assertEquals(error.code, "unsupported");
    assertEquals(hub.askedFor("model.safetensors").length, 0);
    assert(!existsSync(pullingFolder(name)));
  });
});

test("of two pulls at once the second waits for the first, and fetches nothing", async () => {
  await withHub(plain, async ({ hub, pull }) => {
    const said: string[] = [];
    const notice = (sentence: string) => void said.push(sentence);
    const pulled = await Promise.all([pull(REPO, { notice }), pull(REPO, { notice })]);
    assertEquals(pulled.map(({ current }) => current).sort(), [false, true]);
    assertEquals(pulled[0].model, pulled[1].model);
    assertEquals(said, ["Waiting for another process, which pulls owner/model"]);
    assertEquals(hub.askedFor("model.safetensors").length, 1);
    assertEquals(readdirSync(join(modelsFolder(), "pulling")), []);
  });
});

test("what is being pulled is not removed, and what is not here cannot be", async () => {
  await withHub(plain, async ({ hub, pull }) => {
    let error: Promise<unknown> = Promise.resolve();
    hub.fault = ({ path }) => {
      if (path.endsWith("model.safetensors")) {
        error = assertRejects(() => removeKept(name), SpecacheError, "is being pulled by another");
      }
      return false;
    };
    await pull();
    await error;
    hub.fault = () => false;
    await removeKept(name);
    await assertRejects(
      () => removeKept(name),
      SpecacheError,
      "owner/model is not here; specache models lists what is",
    );
  });
});

test("Engine.open() takes the name of a pulled model, else says what pulls it", async () => {
  await withHub(plain, async ({ pull }) => {
    const { model } = await pull();
    const options = { contextTokens: 64, profile: "none" };
    await using named = await Engine.open({ model: REPO, ...options });
    await using opened = await Engine.open({ model: model.path, ...options });
    assertEquals(named.model, opened.model);
    await assertRejects(
      () => Engine.open({ model: "smollm2-135m-instruct", ...options }),
      SpecacheError,
      "is not fetched yet; fetch it: specache pull smollm2-135m-instruct",
    );
  });
});

test("a lock that nobody touches any more is gone past", async () => {
  await withHub(plain, async ({ pull }) => {
    mkdirSync(pullingFolder(name), { recursive: true });
    abandonLock(join(pullingFolder(name), LOCK));
    assertEquals((await pull()).model.name, REPO);
  });
});

test("a folder whose manifest or size is wrong is no model, and is pulled anew", async () => {
  await withHub(plain, async ({ pull }) => {
    const { model } = await pull();
    for (const file of [MANIFEST, "model.safetensors"]) {
      writeFileSync(join(model.folder, file), "{");
      assertEquals(listKept(), []);
      assertEquals((await pull()).current, false);
      assertEquals(listKept(), [model]);
    }
  });
});
