// page.ts - the frame of the report: one HTML file that loads nothing and runs nothing.
import { escape } from "./html.ts";
import { style } from "./style.ts";

/** A part of the page; the content is HTML. */
export interface Section {
  readonly id: string;
  readonly title: string;
  /** Sentences that say how to read it, as text. */
  readonly about: string;
  readonly content: string;
}

/** The whole page. The policy forbids scripts, and whatever lies elsewhere. */
export function page(
  title: string,
  facts: string,
  sections: readonly Section[],
): string {
  const links = sections.map(({ id, title }) => `<li><a href="#${id}">${escape(title)}</a></li>`);
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<title>${escape(title)}</title>
<style>${style}</style>
</head>
<body>
<header>
<h1>${escape(title)}</h1>
<p>${escape(facts)}</p>
<nav aria-label="Sections"><ul>${links.join("")}</ul></nav>
</header>
<main>
${sections.map(sectionHtml).join("\n")}
</main>
</body>
</html>
`;
}

function sectionHtml({ id, title, about, content }: Section): string {
  return `<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${escape(title)}</h2>
<p>${escape(about)}</p>
${content}
</section>`;
}
