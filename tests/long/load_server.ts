// load_server.ts - the server of a load in a process of its own: prints its address, and its
// resident bytes for each line that it reads; ends with its input.
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { servingLoad } from "../clients/load.ts";
import { residentBytes, tidy } from "./resident.ts";

const LOOKS = 20;
const LOOK_MS = 100;

// The least of some looks: what the runtime has not given back yet comes and goes.
async function leastBytes(): Promise<number> {
  let least = Infinity;
  for (let look = 0; look < LOOKS; look++) {
    tidy();
    await setTimeout(LOOK_MS);
    least = Math.min(least, residentBytes());
  }
  return least;
}

await servingLoad(async (url) => {
  console.log(url);
  for await (const _ of createInterface({ input: process.stdin })) console.log(await leastBytes());
});
