// canvas.js - a canvas as sharp as the screen, in the colours of the page.

/** A colour of page.css by its name. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Draws with `draw(context, width, height)` in CSS pixels. */
export function paint(canvas, draw) {
  const { width, height } = canvas.getBoundingClientRect();
  if (width === 0) return;
  const scale = devicePixelRatio;
  const [columns, rows] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== columns || canvas.height !== rows) {
    canvas.width = columns;
    canvas.height = rows;
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  draw(context, width, height);
}
