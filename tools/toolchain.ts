// toolchain.ts - prints the path of nvcc, or with "c++" the command of a C++ compiler, each fetched
// into the cache folder where there is none.
import process from "node:process";
import { run } from "../cli/run.ts";

const names = process.argv.slice(2);
process.exitCode = await run(["toolchain", ...(names.length > 0 ? names : ["nvcc"])], process);
