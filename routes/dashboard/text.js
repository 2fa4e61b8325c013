// text.js - a piece of the watched text, token by token: how each came, and how much it is read.
import { colour } from "./canvas.js";
import { count, quoted } from "./format.js";

const SHOWN = 768; // tokens
const SINKS = 4;

/** The text. */
export class TextPane {
  #box = document.getElementById("text");
  #told = document.getElementById("token-told");
  #title = document.getElementById("text-title");
  #earlier = document.getElementById("earlier");
  #later = document.getElementById("later");
  #followButton = document.getElementById("follow");
  #text = null;
  #follow = true;
  #from = 0;
  #spans = [];
  #chosen = null;

  constructor() {
    this.#box.addEventListener("keydown", (event) => this.#key(event));
    this.#box.addEventListener("click", (event) => this.#point(event));
    this.#earlier.addEventListener("click", () => this.#page(-SHOWN / 2));
    this.#later.addEventListener("click", () => this.#page(SHOWN / 2));
    this.#followButton.addEventListener("click", () => {
      this.#follow = !this.#follow;
      this.#draw();
    });
  }

  /** Shows a text; null: none. */
  show(text) {
    if (text?.ticket !== this.#text?.ticket) {
      this.#follow = true;
      this.#choose(null);
    }
    this.#text = text;
    this.#draw();
  }

  /** Shows the text around a token, and chooses it. */
  open(token) {
    this.#follow = false;
    this.#from = Math.max(0, token - SHOWN / 4);
    this.#choose(token);
    this.#draw();
    this.#spans[token - this.#from]?.scrollIntoView({ block: "nearest" });
  }

  /** Colours it again. */
  draw() {
    this.#colour();
  }

  #draw() {
    const tokens = this.#text?.tokens ?? [];
    if (this.#follow) this.#from = Math.max(0, tokens.length - SHOWN);
    const end = Math.min(tokens.length, this.#from + SHOWN);
    this.#fill(tokens, end);
    this.#colour();
    this.#earlier.disabled = this.#from === 0;
    this.#later.disabled = end === tokens.length;
    this.#followButton.setAttribute("aria-pressed", String(this.#follow));
    const all = this.#text?.length ?? 0;
    this.#title.textContent = all === 0
      ? "Text"
      : `Tokens ${count(this.#from)} to ${count(end - 1)} of ${count(all)}`;
    this.#box.dataset.empty = "The text of a request is shown here as it is read and generated.";
    this.#tell();
  }

  // Spans that are there stay: a reader's place and selection stay with them.
  #fill(tokens, end) {
    const key = `${this.#text?.ticket} ${this.#from}`;
    if (this.#box.dataset.key !== key) {
      this.#box.replaceChildren();
      this.#spans = [];
      this.#box.dataset.key = key;
    }
    while (this.#spans.length > end - this.#from) this.#spans.pop().remove();
    const box = this.#box;
    const atEnd = box.scrollTop + box.clientHeight > box.scrollHeight - 40;
    const added = document.createDocumentFragment();
    for (let at = this.#from + this.#spans.length; at < end; at++) {
      const span = document.createElement("span");
      const { text, came } = tokens[at];
      span.className = `token ${came}`;
      span.textContent = text.replaceAll("\n", "⏎\n").replaceAll("\r", "␍");
      this.#spans.push(span);
      added.append(span);
    }
    if (!added.hasChildNodes()) return;
    box.append(added);
    if (this.#follow || atEnd && this.#chosen === null) box.scrollTop = box.scrollHeight;
  }

  #colour() {
    const text = this.#text;
    if (text === null) return;
    const [heat, strongest] = [colour("heat"), Number(colour("heat-most"))];
    const { reads, windowFrom } = text;
    const shown = reads.subarray(this.#from, this.#from + this.#spans.length);
    const most = shown.reduce((a, b) => Math.max(a, b), 0.01);
    for (const [at, span] of this.#spans.entries()) {
      const token = this.#from + at;
      const share = Math.sqrt((reads[token] ?? 0) / most);
      span.classList.toggle("exact", token < SINKS || windowFrom !== null && token >= windowFrom);
      span.classList.toggle("chosen", token === this.#chosen);
      span.style.backgroundColor = share > 0.05
        ? `rgba(${heat}, ${(share * strongest).toFixed(2)})`
        : "";
    }
  }

  #tell() {
    this.#told.textContent = this.#sentence();
  }

  #sentence() {
    const text = this.#text;
    if (text === null) return "";
    const at = this.#chosen;
    const token = at === null ? undefined : text.tokens[at];
    if (token === undefined) {
      const ends = { eos: "The model ended it.", length: "It came to its last token." };
      const others = { stop: "A stop string ended it.", cancelled: "It was cancelled." };
      return { ...ends, ...others, failed: "It failed." }[text.ended] ?? "";
    }
    const { came, guessed } = token;
    const ways = {
      prompt: "of the prompt",
      plain: "generated, no guess had run",
      right: "generated, and guessed before",
      accepted: "guessed, right, and taken at once",
      wrong: `generated, the guess had been ${quoted(guessed ?? "")}`,
      unseen: "generated before somebody looked",
    };
    const exact = at < SINKS || text.windowFrom === null || at >= text.windowFrom;
    const read = (text.reads[at] ?? 0).toFixed(1);
    const late = (text.lateReads[at] ?? 0).toFixed(1);
    const told = exact
      ? "always exact"
      : `a step reads it in ${read} lists${text.inPlace ? "" : `, ${late} of them from no slot`}`;
    return `Token ${count(at)}, ${quoted(token.text)}: ${ways[came]}; ${told}`;
  }

  #choose(token) {
    this.#chosen = token;
    this.#told.setAttribute("aria-live", token === null ? "off" : "polite");
  }

  #page(by) {
    const most = Math.max(0, (this.#text?.tokens.length ?? 0) - SHOWN);
    this.#follow = this.#from + by >= most;
    this.#from = Math.max(0, Math.min(most, this.#from + by));
    this.#draw();
  }

  #key(event) {
    const tokens = this.#text?.tokens.length ?? 0;
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -12, ArrowDown: 12 };
    if (event.key === "Escape") {
      this.#choose(null);
      this.#draw();
    } else if (event.key in moves && tokens > 0) {
      const from = this.#chosen ?? (this.#follow ? tokens : this.#from);
      this.#move(Math.max(0, Math.min(tokens - 1, from + moves[event.key])));
    } else return;
    event.preventDefault();
  }

  #move(token) {
    const shown = token >= this.#from && token < this.#from + this.#spans.length;
    if (!shown) return this.open(token);
    this.#follow = false;
    this.#choose(token);
    this.#draw();
    this.#spans[token - this.#from].scrollIntoView({ block: "nearest" });
  }

  #point(event) {
    const at = this.#spans.indexOf(event.target);
    if (at >= 0) this.#move(this.#from + at);
  }
}
