// dashboard.ts - the page at /: its files, which need no key and hold nothing of the engine, and
// may load and ask nothing but this server.
import { Hono } from "hono";
import { RequestError } from "./errors.ts";
import { only } from "./methods.ts";

const types: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

const headers = {
  "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; " +
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; " +
    "frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cache-Control": "no-cache",
};

/** GET: the page at /, and its files below /dashboard. */
export function dashboardRoutes(): Hono {
  const dashboard = new Hono();
  dashboard.get("/", () => fileOf("page.html"));
  dashboard.all("/", only("GET"));
  dashboard.get("/dashboard/:name", (c) => fileOf(c.req.param("name")));
  dashboard.all("/dashboard/:name", only("GET"));
  return dashboard;
}

// By a dynamic import alone: JSR's registry refuses text imports that it reaches by static ones.
async function fileOf(name: string): Promise<Response> {
  const { files } = await import("./dashboard/files.ts");
  if (!Object.hasOwn(files, name)) {
    const sentence = `Cannot answer: path /dashboard/${name.slice(0, 60)} is not known`;
    throw new RequestError(404, "not_found", sentence);
  }
  const type = types[name.slice(name.lastIndexOf(".") + 1)];
  return new Response(files[name], { headers: { ...headers, "Content-Type": type } });
}
