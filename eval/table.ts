// table.ts - lays out rows of text in columns, and writes numbers as people read them.

/** Lines of a table: the first row is its head, the first column is flush left, others right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (row: readonly string[]) =>
    row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])
    ).join("   ").trimEnd();
  const [head, ...body] = rows.map(line);
  return [head, "-".repeat(Math.max(...rows.map(line).map((text) => text.length))), ...body]
    .join("\n");
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes with a unit and three digits: 1536 is "1.50 KiB". */
export function bytesText(bytes: number): string {
  let unit = 0;
  let amount = bytes;
  while (amount >= 1000 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit++;
  }
  return unit === 0 ? `${bytes} B` : `${amount.toPrecision(3)} ${UNITS[unit]}`;
}

/** A share as a percentage, or a dash where there is nothing to share. */
export function shareText(part: number, whole: number): string {
  return whole === 0 ? "-" : `${Math.round(100 * part / whole)} %`;
}
