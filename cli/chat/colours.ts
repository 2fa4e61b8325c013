// colours.ts - colours where there is a terminal that wants them (https://no-color.org).
import process from "node:process";
import type { Terminal } from "../output.ts";

/** Ways to show text. */
export interface Colours {
  strong(text: string): string;
  faint(text: string): string;
  fault(text: string): string;
}

/** Colours on a terminal, plain text elsewhere and where NO_COLOR is set. */
export function coloursFor({ isTTY }: Terminal): Colours {
  const { NO_COLOR, TERM } = process.env;
  const plain = !isTTY || !!NO_COLOR || TERM === "dumb";
  const style = (code: number) => (text: string) => plain ? text : `\x1b[${code}m${text}\x1b[0m`;
  return { strong: style(1), faint: style(2), fault: style(31) };
}
