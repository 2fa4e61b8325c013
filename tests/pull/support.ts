// support.ts - models to pull, and the environment that a pull sees.
import { readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import process from "node:process";
import { STALE_MS } from "../../ffi/lock.ts";
import { parseModelName } from "../../pull/name.ts";
import { pull, type Pulled, type PullOptions } from "../../pull/pull.ts";
import { Folder, pathOf } from "../cli/command.ts";
import { REPO, TestHub } from "./hub.ts";

/** Waits that a test can wait for. */
export const HASTE = { tries: 4, waitMs: 1, idleMs: 2_000 };

/** The files of a folder of the project, by name. */
export function filesOf(folder: string): Record<string, Uint8Array> {
  const path = pathOf(folder);
  return Object.fromEntries(
    readdirSync(path).map((name) => [name, readFileSync(`${path}/${name}`)]),
  );
}

/** Sets variables of the environment for as long as `body` runs. */
export async function withEnvironment<Result>(
  variables: Readonly<Record<string, string | undefined>>,
  body: () => Promise<Result>,
): Promise<Result> {
  const set = (values: Readonly<Record<string, string | undefined>>) => {
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  const before = Object.fromEntries(
    Object.keys(variables).map((name) => [name, process.env[name]]),
  );
  set(variables);
  try {
    return await body();
  } finally {
    set(before);
  }
}

/** A lock whose owner has ended without removing it. */
export function abandonLock(path: string): void {
  const then = new Date(Date.now() - STALE_MS - 1000);
  writeFileSync(path, "");
  utimesSync(path, then, then);
}

/** A hub and a cache folder of a test's own. */
export interface Place {
  readonly hub: TestHub;
  readonly home: Folder;
  /** Pulls the hub's model. */
  pull(name?: string, options?: PullOptions): Promise<Pulled>;
}

/** Runs `body` with a hub that has these files, and an empty cache folder. */
export async function withHub(
  files: Record<string, Uint8Array>,
  body: (place: Place) => Promise<void>,
  token?: string,
): Promise<void> {
  await using hub = await TestHub.start(files);
  using home = new Folder();
  const variables = { SPECACHE_HOME: home.path, HF_ENDPOINT: hub.url, HF_TOKEN: token };
  const of = (name = REPO, options: PullOptions = {}) =>
    pull(parseModelName(name)!, { patience: HASTE, ...options });
  await withEnvironment(variables, () => body({ hub, home, pull: of }));
}
