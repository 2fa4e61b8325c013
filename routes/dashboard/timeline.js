// timeline.js - the last turns on one axis of time, idle time left out. Lanes, from above: what was
// computed, what was fetched beside it, where the rows came from, and whether the guess was right.
import { colour, paint } from "./canvas.js";
import { bytes, count, counted, time } from "./format.js";

const LANE = 28; // as in page.css
const ROWS = 52;
const BAR = 20; // of a lane
const GAP = 2;
const SHOWN = [10, 20, 40, 80, 160];

/** The timeline. */
export class Timeline {
  #canvas = document.getElementById("turns");
  #told = document.getElementById("turn-told");
  #turns = [];
  /** Whether rows that are late are read where they are: it is no fault then. */
  #inPlace = false;
  #shown = matchMedia("(max-width: 40rem)").matches ? 1 : 2;
  /** Number of the chosen turn; null: the newest. */
  #chosen = null;
  #places = [];

  constructor() {
    this.#canvas.addEventListener("keydown", (event) => this.#key(event));
    this.#canvas.addEventListener("pointerdown", (event) => this.#point(event));
    for (const [id, by] of [["fewer", -1], ["more", 1]]) {
      document.getElementById(id).addEventListener("click", () => this.#zoom(by));
    }
  }

  /** Shows these turns. */
  show(turns, inPlace) {
    this.#turns = turns;
    this.#inPlace = inPlace;
    document.getElementById("late-name").textContent = inPlace ? "read in place" : "late";
    document.getElementById("late-colour").className = inPlace ? "read" : "late";
    this.draw();
  }

  /** Draws it again. */
  draw() {
    const turns = this.#turns.slice(-SHOWN[this.#shown]);
    paint(this.#canvas, (context, width) => {
      this.#places = placesOf(turns, width);
      drawTurns(context, this.#places, { width, inPlace: this.#inPlace });
      const chosen = this.#places.find(({ turn }) => turn.turn === this.#chosen);
      if (chosen === undefined) return;
      context.strokeStyle = colour("focus");
      context.lineWidth = 2;
      context.strokeRect(chosen.x - 1, 1, chosen.width + 2, 3 * LANE + ROWS - 12);
    });
    this.#tell();
  }

  #tell() {
    const turn = this.#turns.find(({ turn }) => turn === this.#chosen) ?? this.#turns.at(-1);
    if (turn === undefined) return;
    this.#told.textContent = sentenceOf(turn, this.#inPlace);
    this.#told.dataset.filled = "";
  }

  #choose(turn) {
    this.#chosen = turn;
    this.#told.setAttribute("aria-live", turn === null ? "off" : "polite");
    this.draw();
  }

  #key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
    const at = this.#places.findIndex(({ turn }) => turn.turn === this.#chosen);
    const last = this.#places.length - 1;
    if (event.key === "Escape") this.#choose(null);
    else if (last < 0) return;
    else if (event.key === "Home") this.#choose(this.#places[0].turn.turn);
    else if (event.key === "End") this.#choose(this.#places[last].turn.turn);
    else if (event.key === "+" || event.key === "-") this.#zoom(event.key === "+" ? -1 : 1);
    else if (event.key in steps) {
      const from = at < 0 ? last + 1 : at;
      const to = Math.max(0, Math.min(last, from + steps[event.key]));
      this.#choose(this.#places[to].turn.turn);
    } else return;
    event.preventDefault();
  }

  #point(event) {
    const x = event.clientX - this.#canvas.getBoundingClientRect().left;
    const place = this.#places.find((each) => x < each.x + each.width + GAP);
    this.#choose(place?.turn.turn ?? null);
  }

  #zoom(by) {
    this.#shown = Math.max(0, Math.min(SHOWN.length - 1, this.#shown + by));
    document.getElementById("fewer").disabled = this.#shown === 0;
    document.getElementById("more").disabled = this.#shown === SHOWN.length - 1;
    this.draw();
  }
}

// Where each turn stands: as wide as it was long, and never too narrow to be seen.
function placesOf(turns, width) {
  const least = 3;
  const spans = turns.map(({ readMs, stepMs }) => readMs + stepMs);
  const room = width - turns.length * GAP;
  const scale = Math.max(0, room - turns.length * least) / Math.max(1e-9, sumOf(spans));
  let x = 0;
  return turns.map((turn, at) => {
    const place = { turn, x, width: least + spans[at] * scale, scale };
    x += place.width + GAP;
    return place;
  });
}

function sumOf(values) {
  return values.reduce((sum, value) => sum + value, 0);
}

function drawTurns(context, places, { width, inPlace }) {
  const names = ["read", "step", "waited", "hidden", "late", "reused", "line", "right", "wrong"];
  const ink = Object.fromEntries(names.map((name) => [name, colour(name)]));
  if (inPlace) ink.late = ink.read;
  context.fillStyle = ink.line;
  for (const y of [LANE, 2 * LANE, 2 * LANE + ROWS]) context.fillRect(0, y - 1.5, width, 1);
  const rowsMost = Math.max(1, ...places.map(({ turn: { rows } }) => rowsOf(rows)));
  for (const { turn, x, width, scale } of places) {
    const bar = (name, from, size, y) => {
      context.fillStyle = ink[name];
      if (size > 0) context.fillRect(x + from, y, Math.min(size, width - from), BAR);
    };
    const { readMs, stepMs, fetch, rows, guess } = turn;
    const read = readMs * scale + (stepMs > readMs ? 0 : 3);
    const stepFrom = turn.sequences === 0 ? width : turn.readTokens === 0 ? 0 : read;
    if (turn.readTokens > 0) bar("read", 0, stepFrom, 3);
    bar("step", stepFrom, width - stepFrom, 3);
    const waited = Math.min(width - stepFrom, fetch.waitedMs * scale);
    bar("waited", width - waited, waited, 3);
    const hidden = Math.min(width, fetch.hiddenMs * scale);
    bar("hidden", 0, hidden, LANE + 3);
    bar("late", hidden, fetch.lateMs * scale, LANE + 3);
    drawRows(context, ink, rows, { x, width, most: rowsMost });
    if (guess.made > 0) drawGuess(context, ink, guess, x + width / 2);
  }
}

function rowsOf({ prefetched, late, reused }) {
  return prefetched + late + reused;
}

function drawRows(context, ink, rows, { x, width, most }) {
  let y = 2 * LANE + ROWS - 4;
  for (
    const [name, value] of [["reused", rows.reused], ["hidden", rows.prefetched], [
      "late",
      rows.late,
    ]]
  ) {
    const height = value / most * (ROWS - 8);
    context.fillStyle = ink[name];
    context.fillRect(x, y -= height, width, height);
  }
}

// A dot: all guesses of the step were right; a ring: some; a cross: none.
function drawGuess(context, ink, { made, right }, x) {
  const y = 2 * LANE + ROWS + 8;
  context.fillStyle = context.strokeStyle = right > 0 ? ink.right : ink.wrong;
  context.lineWidth = 1.5;
  context.beginPath();
  if (right > 0) {
    context.arc(x, y, right === made ? 3 : 2.5, 0, 2 * Math.PI);
    if (right === made) context.fill();
    else context.stroke();
    return;
  }
  for (const side of [-3, 3]) {
    context.moveTo(x - 3, y - side);
    context.lineTo(x + 3, y + side);
  }
  context.stroke();
}

function sentenceOf(turn, inPlace) {
  const { rows, fetch, guess } = turn;
  const parts = [];
  if (turn.readTokens > 0) {
    parts.push(`${counted(turn.readTokens, "prompt token")} read in ${time(turn.readMs)}`);
  }
  if (turn.sequences > 0) {
    parts.push(
      `a step of ${counted(turn.sequences, "text")}, ${counted(turn.inputs, "input")}, gave ` +
        `${counted(turn.tokens, "token")} in ${time(turn.stepMs)}`,
    );
    const { reused, late, prefetched } = rows;
    const ways = [[reused, "in slots"], [late, inPlace ? "read in place" : "late"], [
      prefetched,
      "prefetched",
    ]];
    if (rowsOf(rows) > 0) parts.push(`rows: ${listed(ways, count)}`);
    if (guess.made > 0) parts.push(`${guess.right} of ${guess.made} guesses right`);
  }
  if (turn.fetchedBytes > 0) {
    const { hiddenMs, waitedMs, lateMs } = fetch;
    const ways = [[hiddenMs, "beside the step"], [waitedMs, "waited for"], [lateMs, "late"]];
    parts.push(`${bytes(turn.fetchedBytes)} fetched: ${listed(ways, time)}`);
  }
  return `Turn ${turn.turn}: ${parts.join("; ")}`;
}

// Those that are not 0.
function listed(ways, told) {
  return ways.filter(([value]) => value > 0).map(([value, word]) => `${told(value)} ${word}`)
    .join(", ");
}
