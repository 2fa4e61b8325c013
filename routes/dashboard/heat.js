// heat.js - which tokens each layer and KV head reads: a row for each, a column for a piece of the
// text. What is behind the last column is the window, which is always read exactly.
import { colour, paint } from "./canvas.js";
import { count, percent } from "./format.js";

const WINDOW = 14; // pixels of the window's strip

/** The heat map. */
export class Heat {
  #canvas = document.getElementById("heat");
  #told = document.getElementById("heat-told");
  #axis = ["axis-from", "axis-to"].map((id) => document.getElementById(id));
  #text = null;
  #kvHeads = 1;
  #chosen = null;
  #open;

  /** `open` is told of the token whose text is asked for. */
  constructor(open) {
    this.#open = open;
    this.#canvas.addEventListener("keydown", (event) => this.#key(event));
    this.#canvas.addEventListener("pointerdown", (event) => this.#point(event));
  }

  /** Shows what a text's steps read. */
  show(text, kvHeads) {
    if (text?.ticket !== this.#text?.ticket) this.#choose(null);
    this.#text = text;
    this.#kvHeads = kvHeads;
    this.draw();
  }

  /** Draws it again. */
  draw() {
    const text = this.#text;
    const empty = text === null || text.columns === 0;
    const rows = empty ? 0 : Math.max(2, Math.min(14, Math.floor(280 / text.lists)));
    this.#canvas.style.height = empty ? "2rem" : `${rows * text.lists}px`;
    this.#canvas.hidden = empty;
    this.#axis[0].textContent = empty ? "" : "token 0";
    this.#axis[1].textContent = empty ? "" : `${count(text.windowFrom)}, then the window`;
    if (!empty) paint(this.#canvas, (context, width, height) => this.#draw(context, width, height));
    this.#tell();
  }

  #draw(context, width, height) {
    const { columns, lists, shares } = this.#text;
    const [column, row] = [(width - WINDOW) / columns, height / lists];
    const heat = colour("heat");
    const strongest = highOf(shares);
    for (let list = 0; list < lists; list++) {
      for (let at = 0; at < columns; at++) {
        const share = shares[list * columns + at] / strongest;
        if (share < 0.02) continue;
        context.fillStyle = `rgba(${heat}, ${Math.min(1, share ** 0.8).toFixed(3)})`;
        context.fillRect(at * column, list * row, column + 0.3, row);
      }
    }
    context.fillStyle = colour("line");
    for (let list = this.#kvHeads; list < lists && row >= 3; list += this.#kvHeads) {
      context.fillRect(0, list * row - 0.5, width, row > 6 ? 1 : 0.5);
    }
    context.fillStyle = colour("exact");
    context.fillRect(width - WINDOW + 2, 0, WINDOW - 2, height);
    if (this.#chosen === null) return;
    const [x, y] = [this.#chosen.column * column, this.#chosen.list * row];
    context.strokeStyle = colour("focus");
    context.lineWidth = 2;
    context.strokeRect(x - 1, y - 1, Math.max(4, column) + 2, row + 2);
  }

  #tell() {
    this.#told.textContent = this.#sentence();
  }

  #sentence() {
    const text = this.#text;
    if (text === null) {
      return "No text is watched yet: what the newest request reads is shown here.";
    }
    if (text.unwatched !== null) return `${text.unwatched}.`;
    if (text.columns === 0) {
      return "Up to 128 tokens every token is read exactly: there is nothing to choose yet.";
    }
    if (this.#chosen === null) {
      return "Each row is a KV head, each column a piece of text; strong colours are read much.";
    }
    const { column, list } = this.#chosen;
    const [layer, head] = [Math.floor(list / this.#kvHeads), list % this.#kvHeads];
    const from = column * text.columnTokens;
    const to = Math.min(text.windowFrom, from + text.columnTokens) - 1;
    const tokens = from === to ? `token ${count(from)}` : `tokens ${count(from)} to ${count(to)}`;
    const share = text.shares[list * text.columns + column];
    const late = text.inPlace
      ? ""
      : `; ${percent(text.late[list], 1)} of all that this head reads was in no slot`;
    return `Layer ${layer}, KV head ${head}, ${tokens}: a step reads ${percent(share, 1)} of ` +
      `them${late}`;
  }

  #choose(chosen) {
    this.#chosen = chosen;
    this.#told.setAttribute("aria-live", chosen === null ? "off" : "polite");
  }

  #key(event) {
    const text = this.#text;
    if (text === null || text.columns === 0) return;
    const moves = {
      ...{ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] },
      ...{ PageUp: [-16, 0], PageDown: [16, 0], Home: [-Infinity, 0], End: [Infinity, 0] },
    };
    if (event.key === "Escape") this.#choose(null);
    else if (event.key === "Enter") {
      if (this.#chosen !== null) this.#open(this.#chosen.column * text.columnTokens);
    } else if (event.key in moves) {
      const { column, list } = this.#chosen ?? { column: 0, list: 0 };
      const [right, down] = this.#chosen === null ? [0, 0] : moves[event.key];
      this.#choose({
        column: Math.max(0, Math.min(text.columns - 1, column + right)),
        list: Math.max(0, Math.min(text.lists - 1, list + down)),
      });
    } else return;
    event.preventDefault();
    this.draw();
  }

  #point(event) {
    const text = this.#text;
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    const across = (event.clientX - left) / (width - WINDOW);
    if (text === null || text.columns === 0 || across >= 1) return;
    const list = Math.floor((event.clientY - top) / height * text.lists);
    this.#choose({ column: Math.floor(across * text.columns), list });
    this.#open(this.#chosen.column * text.columnTokens);
    this.draw();
  }
}

// What only a hundredth of the cells that are read is above: it has the full colour.
function highOf(shares) {
  const read = shares.filter((share) => share > 0.002).sort();
  return read.length === 0 ? 1 : read[Math.floor(read.length * 0.99)];
}
