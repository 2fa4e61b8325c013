// main.js - the page: events come in, and each part shows what it is about.
import { Heat } from "./heat.js";
import { Panels } from "./panels.js";
import { Seen } from "./seen.js";
import { keepKey, Stream } from "./stream.js";
import { TextPane } from "./text.js";
import { Timeline } from "./timeline.js";
import { Try } from "./try.js";

const seen = new Seen();
const timeline = new Timeline();
const text = new TextPane();
const heat = new Heat((token) => text.open(token));
const panels = new Panels();
const attempt = new Try();
const stream = new Stream(take, showState);

const state = document.getElementById("state");
const key = document.getElementById("key");
const board = document.getElementById("board");
const watch = document.getElementById("watch");
const list = document.getElementById("list");

function take(event) {
  seen.take(event);
  panels.show(seen);
  attempt.show(event);
  const { observation } = event;
  timeline.show(seen.turns, observation?.slots === 0);
  showChoices(observation);
  heat.show(seen.text, observation?.kvHeads ?? 1);
  text.show(seen.text);
}

function showState(name, sentence, why = null) {
  if (state.textContent !== sentence) state.textContent = sentence; // told once, not four a second
  state.dataset.state = name;
  const asks = name === "key";
  if (asks && key.hidden) {
    key.hidden = false;
    document.getElementById("key-value").focus();
  }
  key.hidden = !asks;
  board.hidden = asks;
  if (why !== null) document.getElementById("key-why").textContent = `${why}.`;
}

// The requests that can be watched, and the heads that can be chosen.
function showChoices(observation) {
  if (observation === null) return;
  const tickets = observation.requests.map(({ ticket }) => ticket);
  const shown = watch.value === "" ? [] : [Number(watch.value)];
  const wanted = [...new Set([...tickets, ...shown])].sort((a, b) => a - b);
  fill(watch, "newest", wanted.map((ticket) => [String(ticket), `${ticket}`]));
  const { layers, kvHeads } = observation;
  if (list.options.length === 1 + layers * kvHeads) return;
  const lists = Array.from({ length: layers * kvHeads }, (_, at) => [
    String(at),
    `layer ${Math.floor(at / kvHeads)}, head ${at % kvHeads}`,
  ]);
  fill(list, "all", lists);
}

// Not touched where nothing changed: a list that is open stays open.
function fill(select, first, options) {
  const names = JSON.stringify(options);
  if (select.dataset.names === names) return;
  const { value } = select;
  select.dataset.names = names;
  select.replaceChildren(
    new Option(first, ""),
    ...options.map(([id, name]) => new Option(name, id)),
  );
  select.value = value;
}

function open() {
  const query = new URLSearchParams();
  if (watch.value !== "") query.set("watch", watch.value);
  if (list.value !== "") query.set("list", list.value);
  stream.open(query.size === 0 ? "" : `?${query}`);
}

function draw() {
  timeline.draw();
  heat.draw();
  text.draw();
}

watch.addEventListener("change", open);
list.addEventListener("change", () => {
  seen.text?.forgetReads();
  open();
});
document.querySelector("#key form").addEventListener("submit", (event) => {
  event.preventDefault();
  const value = document.getElementById("key-value");
  keepKey(value.value.trim());
  value.value = "";
  stream.open();
});
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
timeline.draw();
heat.draw();
text.show(null);
open();
