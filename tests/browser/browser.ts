// browser.ts - the dashboard in Debian's Chromium, of a server in this process.
import { existsSync } from "node:fs";
import process from "node:process";
import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium } from "playwright-core";
import type { Locator, Page } from "playwright-core";
import { listen, type Listening } from "../../cli/listen.ts";
import { type App, type AppOptions, createApp, type ServedEngine } from "../../routes/app.ts";
import { assertEquals, fail } from "../harness.ts";

const TIMEOUT_MS = 300_000; // a machine may stand still while others measure

let browser: Promise<Browser> | undefined;

// One for all tests of a file. There is no skipping: the page is looked at or the gate is red.
function launched(): Promise<Browser> {
  const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
  const executablePath = [process.env.CHROMIUM ?? "", ...places].find((path) => existsSync(path));
  if (executablePath === undefined) {
    fail("there is no Chromium: install Debian's package chromium, or name one in CHROMIUM");
  }
  // Debian's own sandbox wants a user that is not root.
  return browser ??= chromium.launch({ executablePath, args: ["--no-sandbox"] });
}

/** Ends the browser. */
export async function closeBrowser(): Promise<void> {
  await (await browser)?.close();
}

/** A server and a page of it. */
export class Visit implements AsyncDisposable {
  /** What the page said on its console, and what it asked of other servers. */
  readonly complaints: string[] = [];

  private constructor(
    readonly page: Page,
    private server: Listening,
    private readonly closing: { now: AbortController },
    private readonly app: (closing: AbortSignal) => App,
  ) {}

  /** Serves an engine and opens its page, which is not live yet. */
  static async of(
    engine: ServedEngine,
    options: AppOptions = {},
    look: BrowserContextOptions = {},
  ): Promise<Visit> {
    const app = (closing: AbortSignal) => createApp(engine, { ...options, closing });
    const closing = { now: new AbortController() };
    const server = await serve(app(closing.now.signal), 0);
    const context = await (await launched()).newContext(look);
    context.setDefaultTimeout(TIMEOUT_MS);
    const visit = new Visit(await context.newPage(), server, closing, app);
    const { page, complaints } = visit;
    page.on("console", (message) => complaints.push(message.text()));
    page.on("pageerror", (error) => {
      complaints.push(error.message);
      page.close(); // what it would be waited for does not come
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(`${server.url}/`)) complaints.push(request.url());
    });
    await page.goto(`${server.url}/`);
    return visit;
  }

  /** Waits for what the connection is. */
  async state(name: string): Promise<string> {
    const state = this.page.locator(`#state[data-state="${name}"]`);
    await this.#waitFor(state);
    return (await state.textContent())!;
  }

  /** The text of an element. */
  async told(selector: string): Promise<string> {
    return (await this.page.locator(selector).textContent())!;
  }

  /** Waits until the text of an element matches. */
  async until(selector: string, pattern: RegExp): Promise<void> {
    await this.#waitFor(this.page.locator(selector).filter({ hasText: pattern }));
  }

  async #waitFor(locator: Locator): Promise<void> {
    try {
      await locator.waitFor();
    } catch (cause) {
      throw new Error(`The page said: ${this.complaints.join("; ") || "nothing"}`, { cause });
    }
  }

  /** Closes the server as Ctrl-C does. */
  async closeServer(): Promise<void> {
    this.closing.now.abort();
    await this.server.close();
    await this.server.end();
  }

  /** Serves again at the same address. */
  async openServer(): Promise<void> {
    this.closing.now = new AbortController();
    this.server = await serve(
      this.app(this.closing.now.signal),
      Number(new URL(this.server.url).port),
    );
  }

  /** What axe finds wrong with the page for those who read it in other ways. */
  async faults(): Promise<string[]> {
    await this.page.evaluate(axe.source);
    return await this.page.evaluate(async () => {
      // deno-lint-ignore no-explicit-any -- it was put there by the line above
      const { violations } = await (globalThis as any).axe.run();
      return violations.map(({ id, nodes }: { id: string; nodes: { html: string }[] }) =>
        `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" | ")}`
      );
    });
  }

  /** Pixels by which the page is wider than its window. */
  async overflow(): Promise<number> {
    return await this.page.evaluate(() =>
      document.documentElement.scrollWidth - document.documentElement.clientWidth
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.context().close();
    this.closing.now.abort();
    await this.server.end();
  }
}

/** Asserts that nothing was said on the console, and nothing asked of another server. */
export function assertQuiet({ complaints }: Visit): void {
  assertEquals(complaints, []);
}

function serve(app: App, port: number): Promise<Listening> {
  return listen((request) => app.fetch(request), { hostname: "127.0.0.1", port });
}
