// leaving.ts - when a client leaves.

/**
 * A controller that is aborted with `signal`. Not AbortSignal.any, whose listeners Deno could
 * forget (denoland/deno#29075).
 */
export function leaving(signal: AbortSignal): AbortController {
  const left = new AbortController();
  if (signal.aborted) left.abort();
  signal.addEventListener("abort", () => left.abort(), { once: true });
  return left;
}
