// home.ts - the folder for what specache keeps between runs.
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** SPECACHE_HOME, else specache in the user's cache folder; it need not exist. */
export function cacheHome(): string {
  const { SPECACHE_HOME, XDG_CACHE_HOME } = process.env;
  return SPECACHE_HOME || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "specache");
}
