// html.ts - text to HTML: escaping, numbers that keep their exact value, regions that scroll.

// What XML has no place for: control characters, halves of a surrogate pair, noncharacters.
// deno-lint-ignore no-control-regex
const NOT_XML = /[\u0000-\u001f\u007f-\u009f\ufffe\uffff]|\p{Surrogate}/gu;

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text with each character that XML has no place for replaced by U+FFFD. */
export function clean(text: string): string {
  return text.replaceAll(NOT_XML, "\ufffd");
}

/** Text as the content of an element or of a quoted attribute. */
export function escape(text: string): string {
  return clean(text).replaceAll(/[&<>"']/g, (character) => entities[character]);
}

/** A number as text, with its exact value for programs; a dash for null and what is not finite. */
export function datum(value: number | null, text: (value: number) => string): string {
  if (value === null || !Number.isFinite(value)) return "–";
  return `<data value="${value}">${escape(text(value))}</data>`;
}

/** A table that scrolls by itself, by keyboard too, where it is wider than the page. */
export function scrolling(name: string, table: string): string {
  return `<div class="scroll" role="region" tabindex="0" aria-label="${escape(name)}">
${table}
</div>`;
}

/** What is shown only when opened, and always in print. */
export function folded(summary: string, content: string): string {
  return `<details>
<summary>${escape(summary)}</summary>
${content}
</details>`;
}
