// openapi.ts - /openapi.json: all that is served, as OpenAPI 3.1 describes it.
import { Hono } from "hono";
import { only } from "./methods.ts";
import { answers, named, type Schema } from "./openapi_answers.ts";
import { bodies } from "./openapi_bodies.ts";
import { contentOf, EVENTS, type Operation, operations } from "./openapi_paths.ts";

const REASONS: Readonly<Record<number, string>> = {
  400: "A field is at fault, or more tokens than the context holds",
  401: "No key, or a wrong one",
  403: "The key is not the operator's",
  404: "Not known",
  408: "The body came too slowly",
  409: "Another request works with it",
  413: "The body is too large",
  415: "The body is of another type",
  429: "The queue is full",
  500: "The engine failed",
  503: "Not now: no room, or the server is closing",
};

/** GET: the document; `keyed` where keys are asked for. */
export function openapiRoutes(keyed: boolean): Hono {
  const openapi = new Hono();
  let document: Schema | null = null; // made when first asked for
  openapi.get("/", (c) => c.json(document ??= describe(keyed)));
  openapi.all("/", only("GET"));
  return openapi;
}

/** The document. */
export function describe(keyed: boolean): Schema {
  const paths: Record<string, Record<string, Schema>> = {};
  for (const operation of operations) {
    (paths[operation.path] ??= {})[operation.method] = operationOf(operation, keyed);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "specache",
      version: "1",
      description: "A KV-cache engine for long contexts, behind OpenAI's API and its own",
    },
    paths,
    components: {
      schemas: { ...answers, ...bodies() },
      ...keyed ? { securitySchemes: { key: { type: "http", scheme: "bearer" } } } : {},
    },
  };
}

function operationOf(operation: Operation, keyed: boolean): Schema {
  const { path, summary, body, open } = operation;
  const locked = keyed && !open;
  return {
    summary,
    operationId: idOf(operation),
    parameters: [...pathParameters(path), ...queryParameters(operation)],
    ...body === undefined ? {} : { requestBody: { required: true, content: contentOf(body) } },
    responses: responsesOf(operation, locked),
    ...locked ? { security: [{ key: [] }] } : {},
  };
}

function pathParameters(path: string): Schema[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
}

function queryParameters({ query = {} }: Operation): Schema[] {
  return Object.entries(query).map(([name, schema]) => ({
    name: name.replace("?", ""),
    in: "query",
    required: !name.endsWith("?"),
    schema,
  }));
}

function responsesOf(operation: Operation, locked: boolean) {
  const { status = 200, answer, refuses = [], body, path, operator } = operation;
  const created = status === 201 ? { links: linksOf(path) } : {};
  const headers = status === 201 ? { Location: text } : answer === "bytes" ? ofTensor : {};
  const responses: Record<string, Schema> = {
    [status]: { description: "Done", headers, content: successOf(answer, body), ...created },
  };
  // A run without queries has no outputs.
  if (answer === "bytes") responses[204] = { description: "Done, and nothing was attended" };
  const forKeys = operator ? [401, 403] : [401];
  for (const code of [...refuses, ...locked ? forKeys : [], 500]) {
    responses[code] = {
      description: REASONS[code],
      headers: passes.includes(code) ? { "Retry-After": text } : {},
      content: { "application/json": { schema: named("Error") } },
    };
  }
  return responses;
}

const text: Schema = { schema: { type: "string" } };
const ofTensor: Schema = { "Specache-Dtype": text, "Specache-Shape": text };
const passes: readonly number[] = [409, 429, 503];

// What can be done with what was made: all that is below its id.
function linksOf(path: string): Schema {
  const [, kind] = path.match(/^(\/v1\/\w+)/)!;
  const below = operations.filter((each) => each.path.startsWith(`${kind}/{id}`));
  const links = below.map((each) => {
    const operationId = idOf(each);
    return [operationId.replaceAll(/[^\w.-]+/g, "."), {
      operationId,
      parameters: { id: "$response.body#/id" },
    }];
  });
  return Object.fromEntries(links);
}

function idOf({ method, path }: Operation): string {
  return `${method} ${path}`;
}

const STREAMED = ["GenerateRequest", "ChatRequest", "CompletionRequest", "ResponseRequest"];

function successOf(answer: string, body?: string): Schema {
  const content = contentOf(answer);
  if (!STREAMED.includes(body ?? "")) return content;
  return { ...content, "text/event-stream": { schema: EVENTS } };
}
