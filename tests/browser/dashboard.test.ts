// The dashboard as who opens it sees it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Engine, type EngineStats } from "../../mod.ts";
import { assert, assertEquals, assertGreater, assertMatch, runtime, test } from "../harness.ts";
import { needle } from "../cli/command.ts";
import { FakeEngine } from "../routes/fake.ts";
import { assertQuiet, closeBrowser, Visit } from "./browser.ts";

const phone = { viewport: { width: 360, height: 740 }, hasTouch: true };
const desktop = { viewport: { width: 1280, height: 900 } };

// What the page itself does is Chromium's part, whichever runtime serves it: it is looked at once.
function testPage(name: string, body: () => Promise<void>): void {
  if (runtime === "deno") test(name, body);
}

async function withEngine(body: (engine: Engine) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "specache-"));
  try {
    await using engine = await Engine.open({
      ...{ model: needle, contextTokens: 1024, k: 16, sequences: 2, prefixes: 2, threads: 2 },
      far: { file: join(folder, "far") },
    });
    await body(engine);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function send(visit: Visit, tokens: number): Promise<void> {
  const { page } = visit;
  await page.fill("#most", String(tokens));
  await page.click("#example");
  assertMatch(await page.inputValue("#prompt"), /The code of amber is 44219/);
  await page.click("#send");
}

test("a prompt sent from the page is seen: its turns, its text and what is read", async () => {
  await withEngine(async (engine) => {
    await using visit = await Visit.of(engine, { name: "needle" }, desktop);
    const { page } = visit;
    assertEquals(await visit.state("live"), "Live");
    assertEquals(await visit.told("#model"), "needle");
    assertEquals(await visit.told("#none"), "Nothing runs.");
    await send(visit, 60);
    await visit.until("#try-told", /^Done: 60 tokens/);
    await visit.until("#token-told", /^It came to its last token\.$/);
    await visit.until("#turn-told", /^Turn \d+: a step of 1 text.*rows: [\d,]+ in slots/);
    const tokens = (kind: string) => page.locator(`#text .token.${kind}`).count();
    assertGreater(await tokens("prompt"), 300);
    const { guess } = await engine.stats();
    assertEquals([await tokens("right"), await tokens("accepted")], [guess.right, guess.accepted]);
    assertEquals(await tokens("wrong"), guess.made - guess.right);
    assertGreater(guess.right, 0);
    assertMatch(await visit.told("#text"), /44219/);
    assert(await page.locator("#heat").isVisible());
    const heated = page.locator('#text .token[style*="rgba"]');
    assertGreater(await heated.count(), 50);
    assertMatch(await visit.told("#near-told"), /^[\d.]+ (KB|MB) of [\d.]+ MB$/);
    assertMatch(await visit.told("#counts"), /^1 ended, 0 cancelled, 0 failed/);
    assertQuiet(visit);
  });
});

testPage("all of the page is reached and read by the keyboard", async () => {
  await withEngine(async (engine) => {
    await using visit = await Visit.of(engine, {}, desktop);
    const { page } = visit;
    await visit.state("live");
    await send(visit, 20);
    await visit.until("#token-told", /^It came to its last token\.$/);
    const reached: string[] = [];
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    for (let at = 0; at < 24; at++) {
      await page.keyboard.press("Tab");
      reached.push(await page.evaluate(() => document.activeElement?.id ?? ""));
    }
    const all = ["turns", "watch", "list", "heat", "follow", "text", "prompt", "most"];
    for (const id of [...all, "chat", "example", "send", "fewer", "more"]) {
      assert(reached.includes(id), `${id} is not among ${reached}`);
    }
    await page.focus("#turns");
    await page.keyboard.press("ArrowLeft");
    const newest = await visit.told("#turn-told");
    await page.keyboard.press("ArrowLeft");
    const before = await visit.told("#turn-told");
    assertEquals(turnOf(before), turnOf(newest) - 1);
    assertEquals(await page.locator("#turn-told").getAttribute("aria-live"), "polite");
    await page.keyboard.press("Home");
    assertMatch(await visit.told("#turn-told"), /^Turn \d+: \d+ prompt tokens read in/);
    await page.keyboard.press("Escape");
    assertEquals(await page.locator("#turn-told").getAttribute("aria-live"), "off");
    await page.focus("#heat");
    for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"]) await page.keyboard.press(key);
    assertMatch(await visit.told("#heat-told"), /^Layer 0, KV head 1, tokens 2 to 3: a step reads/);
    await page.keyboard.press("Enter");
    assertMatch(await visit.told("#token-told"), /^Token 2, .*: of the prompt; always exact$/);
    await page.focus("#text");
    for (let at = 0; at < 3; at++) await page.keyboard.press("ArrowRight");
    assertMatch(await visit.told("#token-told"), /^Token 5, .*: of the prompt; a step reads it in/);
    await page.selectOption("#list", "3");
    await visit.state("live");
    assertQuiet(visit);
  });
});

function turnOf(sentence: string): number {
  return Number(sentence.match(/^Turn (\d+)/)![1]);
}

testPage("the page fits a phone, and has no faults for who reads it in other ways", async () => {
  await withEngine(async (engine) => {
    for (const look of [{ ...phone, colorScheme: "dark" }, desktop] as const) {
      await using visit = await Visit.of(engine, {}, look);
      await visit.state("live");
      assertEquals([await visit.overflow(), await visit.faults()], [0, []]);
      await send(visit, 12);
      await visit.until("#try-told", /^Done: 12 tokens/);
      await visit.until("#token-told", /^It came to its last token\.$/);
      assertEquals([await visit.overflow(), await visit.faults()], [0, []]);
      assertQuiet(visit);
    }
  });
});

testPage("nothing moves for who asks for less motion", async () => {
  for (const reducedMotion of ["reduce", "no-preference"] as const) {
    await using visit = await Visit.of(new FakeEngine(), { keys: ["k"] }, { reducedMotion });
    await visit.state("key");
    const moving = await visit.page.evaluate(() => {
      document.getElementById("state")!.dataset.state = "loading";
      return document.getAnimations().length;
    });
    assertEquals(moving, reducedMotion === "reduce" ? 0 : 1);
  }
});

testPage("a key is asked for, and is kept in the tab alone", async () => {
  await using visit = await Visit.of(new FakeEngine(), { keys: ["a-secret"] }, phone);
  const { page } = visit;
  assertEquals(await visit.state("key"), "A key is needed");
  assert(await page.locator("#board").isHidden());
  assertEquals(await visit.overflow(), 0);
  assertEquals(await visit.faults(), []);
  assertEquals(await page.evaluate(() => document.activeElement?.id), "key-value");
  await page.keyboard.type("another");
  await page.keyboard.press("Enter");
  await visit.until("#key-why", /the API key is none of the server's\.$/);
  await page.fill("#key-value", "a-secret");
  await page.keyboard.press("Enter");
  await visit.state("live");
  assert(await page.locator("#key").isHidden());
  const kept = await page.evaluate(() => [
    ...[JSON.stringify(localStorage), document.cookie, location.href],
    document.documentElement.outerHTML,
  ]);
  assert(!kept.join().includes("a-secret"));
  await page.reload();
  await visit.state("live");
});

test("a key that is not the operator's is told so, and the operator's may be given", async () => {
  for (
    const [operatorKeys, why] of [[["olga"], /none of the operator's/], [
      undefined,
      /name one/,
    ]] as const
  ) {
    const options = { keys: ["anna", "bert"], operatorKeys };
    await using visit = await Visit.of(new FakeEngine(), options, phone);
    const { page } = visit;
    await visit.state("key");
    await page.keyboard.type("anna");
    await page.keyboard.press("Enter");
    await visit.until("#state", /^The operator's key is needed$/);
    await visit.until("#key-why", why);
    assertMatch(await visit.told("#key-why"), /^Cannot answer: .+--operator-key-file.+\.$/);
    assert(await page.locator("#key-why").isVisible());
    assert(await page.locator("#board").isHidden());
    assertEquals([await visit.overflow(), await visit.faults()], [0, []]);
    if (operatorKeys === undefined) continue;
    await page.fill("#key-value", "olga");
    await page.keyboard.press("Enter");
    await visit.state("live");
    assertMatch(await visit.told("#counts"), /^1 ended, /);
  }
});

test("the page of a front whose hosts tell it little shows what runs and waits", async () => {
  const engine = new FakeEngine();
  engine.stats = () => Promise.resolve({ sessionsMax: 4, running: 2, waiting: 3 } as EngineStats);
  await using visit = await Visit.of(engine, {}, desktop);
  await visit.until("#waiting", /^3$/);
  await visit.until("#running", /^2$/);
  await visit.until("#counts", /^The hosts tell this server no more; context 1,000 tokens$/);
  assertQuiet(visit);
});

test("the page says when the server closes, and comes back with it", async () => {
  await using visit = await Visit.of(new FakeEngine(), {}, desktop);
  await visit.state("live");
  await visit.closeServer();
  await visit.until("#state", /^(The server is closing|Disconnected).*; trying again in \d s$/);
  await visit.until("#state", /^Disconnected: .*; trying again in \d s$/);
  await visit.openServer();
  await visit.state("live");
});

testPage("the page of an engine on other hosts says where its steps are shown", async () => {
  await using visit = await Visit.of(new FakeEngine(), {}, desktop);
  await visit.state("live");
  assertMatch(await visit.told("#none"), /^The engine is on other hosts/);
  assertQuiet(visit);
});

test("Stop ends the request, and a text is text whatever stands in it", async () => {
  await withEngine(async (engine) => {
    await using visit = await Visit.of(engine, {}, phone);
    const { page } = visit;
    await visit.state("live");
    const prompt = '<img src=x onerror="document.title=1"><script>document.title=2</script> ';
    await page.fill("#prompt", prompt.repeat(3));
    await page.uncheck("#chat");
    await page.fill("#most", "800");
    await page.click("#send");
    await visit.until("#text", /onerror=/);
    assertEquals(await page.locator("#text img, #text script").count(), 0);
    await page.click("#send");
    await visit.until("#try-told", /^(Stopped\.|Done: )/);
    await visit.until("#running", /^0$/);
    assertMatch(await page.title(), /– specache$/);
    assertQuiet(visit);
  });
});

testPage("where far memory is RAM rows are read in place, and none is called late", async () => {
  const options = { model: needle, contextTokens: 512, k: 16, sequences: 1, threads: 2 };
  await using engine = await Engine.open(options);
  await using visit = await Visit.of(engine, {}, phone);
  await visit.state("live");
  await send(visit, 20);
  await visit.until("#token-told", /^It came to its last token\.$/);
  await visit.until("#turn-told", /rows: ([\d,]+ in slots, )?[\d,]+ read in place/);
  assertEquals(await visit.told("#late-name"), "read in place");
  assertMatch(await visit.told("#tiers-told"), /rows are read in place, none is fetched\.$/);
  assertQuiet(visit);
});

test("the browser closes", closeBrowser);
