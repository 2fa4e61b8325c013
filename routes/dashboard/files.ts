// files.ts - the page's files as text, for a package that lies in no folder. To be imported by
// import() alone, see dashboard.ts.
import canvas from "./canvas.js" with { type: "text" };
import format from "./format.js" with { type: "text" };
import heat from "./heat.js" with { type: "text" };
import icon from "./icon.svg" with { type: "text" };
import main from "./main.js" with { type: "text" };
import css from "./page.css" with { type: "text" };
import html from "./page.html" with { type: "text" };
import panels from "./panels.js" with { type: "text" };
import seen from "./seen.js" with { type: "text" };
import stream from "./stream.js" with { type: "text" };
import text from "./text.js" with { type: "text" };
import timeline from "./timeline.js" with { type: "text" };
import attempt from "./try.js" with { type: "text" };

/** Text of each file, by its name. */
export const files: Readonly<Record<string, string>> = {
  "canvas.js": canvas,
  "format.js": format,
  "heat.js": heat,
  "icon.svg": icon,
  "main.js": main,
  "page.css": css,
  "page.html": html,
  "panels.js": panels,
  "seen.js": seen,
  "stream.js": stream,
  "text.js": text,
  "timeline.js": timeline,
  "try.js": attempt,
};
