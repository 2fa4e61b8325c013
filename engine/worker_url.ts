// worker_url.ts - where a worker's module is: packages for npm hold JavaScript made of each module,
// and a worker must use the same modules as those that start it. A packager sees that the worker
// belongs to the package where a type of it is imported.

/** The URL of the worker `name`, as "./worker.ts", beside the module whose URL is `module`. */
export function workerUrl(name: string, module: string): URL {
  return new URL(module.endsWith(".js") ? name.replace(/\.ts$/, ".js") : name, module);
}
