// output.ts - what a person sees: sizes, and a progress bar where there is a terminal.

const units = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes in the largest unit that keeps a digit before the point. */
export function bytesText(bytes: number): string {
  const unit = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** unit).toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}

const width = 30; // characters of the bar

/** Something that a bar is drawn on. */
export interface Terminal {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** A bar that is drawn on a terminal and nowhere else. */
export function progressBar(label: string, to: Terminal): (done: number, of: number) => void {
  if (!to.isTTY) return () => {};
  return (done, of) => {
    const filled = Math.round(width * done / of);
    const bar = "#".repeat(filled).padEnd(width, ".");
    to.write(`\r${label} [${bar}] ${done}/${of}${done === of ? "\n" : ""}`);
  };
}
