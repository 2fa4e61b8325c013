// format.js - numbers as a person reads them.

/** 12,345 */
export function count(value) {
  return Math.round(value).toLocaleString("en");
}

/** 3 tokens, 1 token */
export function counted(value, word) {
  return `${count(value)} ${word}${value === 1 ? "" : "s"}`;
}

/** 1.5 MB */
export function bytes(value) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? count(value) : value.toPrecision(3)} ${units[unit]}`;
}

/** 12.3 ms, 4.50 s */
export function time(ms) {
  return ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms.toFixed(ms < 10 ? 2 : 1)} ms`;
}

/** 12 % */
export function percent(part, whole) {
  return whole === 0 ? "–" : `${Math.round(100 * part / whole)} %`;
}

/** A token's text in a sentence: what cannot be seen by its name. */
export function quoted(text) {
  return text === "" ? "part of a character" : JSON.stringify(text);
}
