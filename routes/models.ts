// models.ts - /v1/models: the one model that is served.
import { Hono } from "hono";
import { RequestError } from "./errors.ts";
import { only } from "./methods.ts";

/** GET: a list; GET /:id: one. */
export function modelRoutes(name: string): Hono {
  const created = secondsNow();
  const model = { id: name, object: "model", created, owned_by: "specache" };
  const models = new Hono();
  models.get("/", (c) => c.json({ object: "list", data: [model] }));
  models.all("/", only("GET"));
  models.get("/:id{.+}", (c) => {
    checkModel(name, c.req.param("id"));
    return c.json(model);
  });
  models.all("/:id{.+}", only("GET"));
  return models;
}

/**
 * Refuses a model that is not served.
 *
 * @throws {RequestError} 404
 */
export function checkModel(name: string, asked: string): void {
  if (asked === name) return;
  const sentence = `Cannot answer: model ${asked.slice(0, 60) || '""'} is not ${name}, which is ` +
    "served";
  throw new RequestError(404, "model_not_found", sentence, "model");
}

/** Seconds since 1970. */
export function secondsNow(): number {
  return Math.floor(Date.now() / 1000);
}
