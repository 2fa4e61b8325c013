// serve.ts - `specache serve`: a model behind OpenAI's HTTP API, until Ctrl-C.
import { basename } from "node:path";
import process from "node:process";
import { z } from "zod";
import { type EngineOptions, engineOptions } from "../engine/config.ts";
import { Engine } from "../engine/engine.ts";
import { SpecacheError } from "../engine/errors.ts";
import { parse } from "../engine/parse.ts";
import { StoreThread } from "../engine/store_thread.ts";
import { type AppOptions, createApp } from "../routes/app.ts";
import { keyFlags, readKeys } from "./keys.ts";
import { ensureLibrary } from "./library.ts";
import { listen, type Place } from "./listen.ts";
import { cacheFlags, engineOptionsOf, type Flags, number, readFlags } from "./options.ts";
import type { Streams } from "./output.ts";

const ACTION = "serve";
const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;
// Each request has its own guesses, and there is no result to print.
const { guesses: _guesses, json: _json, ...engineFlags } = cacheFlags;

/** Flags of the command. */
export const serveFlags = {
  ...engineFlags,
  activations: text,
  model: text,
  name: text,
  "chat-template": text,
  context: text,
  sequences: text,
  pool: text,
  prefixes: text,
  reuse: text,
  queue: text,
  "store-bytes": text,
  host: text,
  port: text,
  "api-key-file": text,
  "operator-key-file": text,
  "allow-anyone": flag,
} as const;

/** Help of the command. */
export const serveHelp = `specache serve - a model behind OpenAI's HTTP API

  --model M              folder of a Hugging Face model, a GGUF file, or a pulled model's name
  --name N               what requests call it; default that name, or the path's last part
  --chat-template F      another chat template (Jinja) than the model's own
  --context N            longest conversation with its answer in tokens; default the model's
  --sequences N          requests that run at a time; default 4
  --pool N               tokens that all of them hold together; default sequences x context
  --prefixes N           texts kept for later prompts with the same beginning; default 8
  --reuse WHAT           what of them: prompt, the default, generated, or none
  --queue N              requests that may wait, others are told 429; default 256
  --store-bytes N        bytes of all raw stores (/v1/stores) together; default 1 GiB; 0: none
  --host H               default 127.0.0.1, which only this machine reaches
  --port P               default 8080; 0 takes one that is free and tells it
  --api-key-file F       asks for one of these keys, one a line
  --operator-key-file F  keys that may also read what all do: /metrics, the page at /, and all of
                         /v1/stats; needless where there is one key, which may
  --allow-anyone         serves other machines without a key
  --mode, --rule, --setting, --k, --key-bits, --value-bits, --profile, --group, --slots,
  --kv-type, --far, --far-bytes, --near, --threads, --device, --prefetch, --activations,
  --audit, --audit-seed, --audit-warn, --verbose, --help
                         as for generate

  /v1/chat/completions, /v1/models, /v1/sessions and more: /openapi.json lists all. / shows, in a
  browser, what the server does while it does it. Ctrl-C finishes what runs.

  specache serve --model smollm2.gguf --context 8192
  specache serve --model smollm2.gguf --port 9000 --host 0.0.0.0 --api-key-file keys.txt
  curl http://127.0.0.1:8080/health
`;

const defaults = { sequences: 4, prefixes: 8, queue: 256 };

const place: z.ZodType<Place> = z.strictObject({
  hostname: z.string().min(1),
  port: z.int().min(0).max(65_535),
});

const naming = z.strictObject({ name: z.string().min(1).optional() });

/** Runs the command until the process is told to end. */
export async function serve(args: readonly string[], { stdout, stderr }: Streams): Promise<void> {
  const flags = readFlags(ACTION, args, serveFlags);
  if (flags.help) {
    stdout.write(serveHelp);
    return;
  }
  const where = parse(place, {
    hostname: flags.host ?? "127.0.0.1",
    port: number(flags, "port") ?? 8080,
  }, ACTION);
  const keys = keysFor(flags, where);
  const options = parse(engineOptions, { ...defaults, ...engineOptionsOf(flags) }, ACTION);
  const name = nameOf(flags, options);
  const storeMemory = storeMemoryOf(flags);
  await ensureLibrary(stderr, options.device);
  const say = (sentence: string) => void stderr.write(`${sentence}\n`);
  // The port first: a taken one is told at once, not behind a model that takes a minute to open.
  let answer = (request: Request): Response | Promise<Response> => notYet(request);
  const server = await listen((request) => answer(request), where);
  try {
    await using engine = await Engine.open({ ...options, notice: say });
    checkConverses(engine);
    await using thread = new StoreThread(); // starts with the first store that somebody opens
    const stores = storeMemory === 0 ? {} : { stores: thread, storeBytesMax: storeMemory };
    const closing = new AbortController();
    const report = (error: unknown) => say(error instanceof Error ? error.message : String(error));
    const app = createApp(engine, { name, ...keys, closing: closing.signal, report, ...stores });
    answer = (request) => app.fetch(request);
    using end = onEnd();
    stdout.write(`Serving ${name} at ${server.url}/v1\n`);
    await end.ended;
    say("Finishing what runs; again ends it at once");
    closing.abort();
    await server.close();
  } finally {
    await server.end(); // where opening failed nobody is waited for
  }
}

// Whoever asks while the model is opened.
function notYet(request: Request): Response {
  if (new URL(request.url).pathname === "/health") return Response.json({ status: "ok" });
  const error = {
    message: "Cannot answer: the model is being opened",
    type: "server_error",
    param: null,
    code: "busy",
  };
  return Response.json({ error }, { status: 503, headers: { "retry-after": "1" } });
}

const storeBytes: z.ZodType<{ readonly storeBytes?: number }> = z.strictObject({
  storeBytes: z.int().min(0).max(2 ** 50).optional(),
});

// Bytes of stores for whoever computes keys and values; 0: none, undefined: the default.
function storeMemoryOf(flags: Flags): number | undefined {
  return parse(storeBytes, { storeBytes: number(flags, "store-bytes") }, ACTION).storeBytes;
}

// What the user typed, and not what the file says of itself, which may be a sentence.
function nameOf(flags: Flags, { model }: EngineOptions): string {
  const { name } = parse(naming, { name: flags.name }, ACTION);
  const pulled = flags.modelAsked === model ? undefined : String(flags.modelAsked);
  return name ?? pulled ?? basename(model).replace(/\.gguf$/i, "");
}

// Whom nobody else can reach needs no key; whom others can reach needs one, or to be told so.
function keysFor(
  flags: Flags,
  { hostname }: Place,
): Pick<AppOptions, "keys" | "operatorKeys"> {
  const given = keyFlags.filter((flag) => flags[flag] !== undefined);
  if (given.length > 0 && flags["allow-anyone"]) {
    throw new SpecacheError(
      "argument",
      `Cannot serve: --allow-anyone is given with --${given[0]}`,
    );
  }
  const [keys, operatorKeys] = keyFlags.map((flag) =>
    given.includes(flag) ? readKeys(flags, flag) : undefined
  );
  if (given.length > 0) return { keys, operatorKeys };
  if (flags["allow-anyone"] || isLoopback(hostname)) return {};
  throw new SpecacheError(
    "argument",
    `Cannot serve: --host ${hostname} can be reached from other machines, so --api-key-file or ` +
      "--allow-anyone must be given",
  );
}

function isLoopback(hostname: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(hostname);
}

// A model without a tokenizer or a template could only refuse what it is asked.
function checkConverses(engine: Engine): void {
  if (engine.tokenizer === null) {
    throw new SpecacheError(
      "unsupported",
      `Cannot serve: model ${engine.model.name} has no tokenizer`,
    );
  }
  try {
    engine.conversation([{ role: "user", content: "hello" }]);
  } catch (cause) {
    if (!(cause instanceof SpecacheError && cause.code === "unsupported")) throw cause;
    const message = cause.message.replace(/^Cannot [^:]+/, "Cannot serve");
    throw new SpecacheError("unsupported", message, { cause });
  }
}

// The first signal is heard; a second one ends the process as if nobody listened.
function onEnd(): Disposable & { readonly ended: Promise<void> } {
  const signals = ["SIGINT", "SIGTERM"] as const;
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const forget = () => {
    for (const signal of signals) process.off(signal, end);
  };
  const end = () => {
    forget();
    resolve();
  };
  for (const signal of signals) process.on(signal, end);
  return { ended, [Symbol.dispose]: forget };
}
