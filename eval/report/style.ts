// style.ts - the style of the report: light and dark, wide and narrow, screen and paper.
import { dark, declarations, light } from "./palette.ts";

/** The style sheet. */
export const style = `
:root { color-scheme: light dark; ${declarations(light)} }
@media screen and (prefers-color-scheme: dark) { :root { ${declarations(dark)} } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--ground);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0.5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 0.5rem; border-top: 1px solid var(--line);
  padding-top: 1rem; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 0.5rem; }
p { max-width: 44rem; margin: 0.5rem 0; overflow-wrap: anywhere; }
a { color: var(--link); }
nav ul, .legend { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; list-style: none;
  margin: 0.5rem 0; padding: 0; }
.legend { font-size: 0.875rem; }
.legend li { overflow-wrap: anywhere; }
.legend svg { vertical-align: -1px; overflow: visible; }
.swatch { display: inline-block; width: 1rem; height: 1rem; vertical-align: -2px;
  border: 1px solid var(--line); }
figure { margin: 1rem 0; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { font-weight: 600; font-size: 0.9375rem; overflow-wrap: anywhere; }
.beside { display: grid; gap: 0 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); }
.small svg { max-width: 27rem; }
.wide { max-width: 56rem; }
.narrow { display: none; max-width: 30rem; }
@media (max-width: 48rem) { .wide { display: none; } .narrow { display: block; } }
.scroll { overflow-x: auto; margin: 0.75rem 0; max-width: 100%; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.625rem; text-align: right; white-space: nowrap; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { background: var(--head); vertical-align: bottom; }
tbody th { font-weight: 600; background: var(--ground); }
th:first-child { text-align: left; }
tbody th, thead tr:first-child th:first-child { position: sticky; left: 0; }
th[scope="colgroup"] { text-align: left; }
th[scope="colgroup"], .first { border-left: 1px solid var(--line); }
tbody th { white-space: normal; min-width: 6.5rem; max-width: 40vw;
  overflow-wrap: anywhere; }
small { display: block; font-size: 0.75rem; color: var(--quiet); }
summary { cursor: pointer; color: var(--link); padding: 0.25rem 0; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
figure svg, .legend, .swatch, thead th { print-color-adjust: exact;
  -webkit-print-color-adjust: exact; forced-color-adjust: none; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  figure, tr { break-inside: avoid; }
  h2, h3, figcaption { break-after: avoid; }
  .scroll { overflow: visible; }
  table { font-size: 7pt; }
  th, td { padding: 1pt 3pt; white-space: normal; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
`;
