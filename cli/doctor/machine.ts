// machine.ts - what the machine is and has: runtime, RAM, GPU.
import { existsSync, readFileSync } from "node:fs";
import { totalmem } from "node:os";
import process from "node:process";
import { SpecacheError } from "../../engine/errors.ts";
import { NativeStore } from "../../engine/native.ts";
import { settle } from "../../engine/settings.ts";

/** Deno or Bun. */
export interface Runtime {
  readonly name: "deno" | "bun";
  readonly version: string;
}

/** The runtime of this process. */
export function runtimeOf(): Runtime {
  const { deno, bun } = process.versions as Record<string, string | undefined>;
  return bun === undefined
    ? { name: "deno", version: deno ?? "unknown" }
    : { name: "bun", version: bun };
}

/** RAM in bytes. */
export interface Ram {
  readonly totalBytes: number;
  /** What can be had without swapping. */
  readonly availableBytes: number;
}

/** The machine's RAM, or what its control group leaves of it. */
export function ramOf(): Ram {
  const info = textOf("/proc/meminfo");
  const kilobytes = info?.match(/^MemAvailable:\s+(\d+) kB$/m)?.[1];
  const totalBytes = totalmem();
  const availableBytes = kilobytes === undefined ? totalBytes : Number(kilobytes) * 1024;
  const limit = Number(textOf("/sys/fs/cgroup/memory.max") ?? NaN); // "max" is none
  if (!(limit < totalBytes)) return { totalBytes, availableBytes };
  const used = Number(textOf("/sys/fs/cgroup/memory.current") ?? 0);
  return { totalBytes: limit, availableBytes: Math.min(availableBytes, Math.max(limit - used, 0)) };
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

/** What device cuda answers. */
export interface CudaAnswer {
  /** Whether the library has device cuda. */
  readonly built: boolean;
  /** The GPU's name, or null. */
  readonly gpu: string | null;
  /** Code and name of the CUDA runtime's error, where it gave one. */
  readonly code: number | null;
  readonly name: string | null;
  /** What kept the device from opening, in the library's words, or null. */
  readonly message: string | null;
}

/** Opens a tiny store on device cuda and closes it again. */
export function askCuda(): CudaAnswer {
  const shape = { layers: 1, kvHeads: 1, queryHeads: 1, headDim: 16 };
  const action = "open device cuda";
  try {
    const settings = settle({ device: "cuda" }, 64, null, action);
    const store = NativeStore.open(settings, shape, null, action);
    const { deviceName } = store;
    store.close();
    return { built: true, gpu: deviceName, code: null, name: null, message: null };
  } catch (error) {
    if (!(error instanceof SpecacheError)) throw error;
    return answerOf(error.message);
  }
}

/** Reads what the library said when device cuda did not open. */
export function answerOf(message: string): CudaAnswer {
  const built = !message.includes("device cuda is not in this library");
  const [, code, name] = message.match(/CUDA error (\d+), (\w+)/) ?? [];
  return {
    ...{ built, gpu: null, message },
    ...{ code: code === undefined ? null : Number(code), name: name ?? null },
  };
}

/** Whether NVIDIA's kernel driver shows a GPU here. */
export function hasGpu(): boolean {
  return existsSync("/dev/nvidia0") || existsSync("/proc/driver/nvidia/version");
}

const driver = "install NVIDIA's driver 580 or newer";
// The CUDA runtime's error codes that an open can meet: what one means, and what to do.
const meanings: Readonly<Record<number, readonly [meaning: string, todo: string]>> = {
  2: ["the GPU has no memory left", "end what else runs on it (nvidia-smi lists it)"],
  3: ["the driver does not start", "restart the machine, or install the driver again"],
  34: ["a stub stands in for the driver", driver],
  35: ["the driver is missing, or older than the library wants", driver],
  46: ["another process has the GPU for itself", "end it, or allow shared use of the GPU"],
  100: ["the driver sees no GPU", "pass the GPU on to this container, unset CUDA_VISIBLE_DEVICES"],
  101: ["CUDA_VISIBLE_DEVICES names no GPU of this machine", "unset it"],
  209: ["the library has no code for this GPU", "build it here: deno task build"],
  802: ["the machine's NVSwitch is not ready", "start nvidia-fabricmanager"],
  803: ["driver and its kernel module differ in version", "restart the machine"],
  804: ["the driver is too old for this GPU", driver],
  999: ["the driver failed in a way of its own", "look at dmesg, restart the machine"],
};

/** What a code of the CUDA runtime means, and what to do. */
export function meaningOf(code: number): { readonly meaning: string; readonly todo: string } {
  const [meaning, todo] = meanings[code] ??
    ["nothing that specache knows of", "look it up in NVIDIA's list of cudaError_t"];
  return { meaning, todo };
}
