// table.ts - lays out rows of text in columns.

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

/** A share as a percentage, or a dash where there is nothing to share. */
export function shareText(part: number, whole: number): string {
  return whole === 0 ? "-" : `${Math.round(100 * part / whole)} %`;
}
