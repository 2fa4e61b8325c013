// panels.js - numbers of the engine: figures of the head, tiers, requests and sessions.
import { bytes, count, counted, percent, time } from "./format.js";
import { keyHeaders } from "./stream.js";

const SESSIONS_MS = 2000;

function byId(id) {
  return document.getElementById(id);
}

// A list item is made once and its words change: focus and place stay.
function show(list, items) {
  while (list.children.length > items.length) list.lastChild.remove();
  for (const [at, { title, told, part }] of items.entries()) {
    const item = list.children[at] ?? list.appendChild(newItem());
    const [name, words] = item.querySelectorAll("b, span");
    name.textContent = title;
    words.textContent = told;
    const progress = item.querySelector("progress");
    progress.hidden = part === null;
    progress.value = part ?? 0;
    progress.setAttribute("aria-label", title);
  }
}

function newItem() {
  const item = document.createElement("li");
  item.append(document.createElement("b"), " ", document.createElement("span"));
  item.append(document.createElement("progress"));
  return item;
}

// What requests came to, and what was found of their beginnings.
function countsOf({ requests, prefixes }, contextTokens) {
  const { ended, cancelled, failed } = requests;
  const { kept, hits, misses } = prefixes;
  return `${count(ended)} ended, ${count(cancelled)} cancelled, ${count(failed)} failed; ` +
    `${counted(kept, "text")} kept for reuse, ${count(hits)} of ${count(hits + misses)} prompts ` +
    `began with one; context ${counted(contextTokens, "token")}`;
}

/** The panels. */
export class Panels {
  #asked = 0;
  #sessions = [];

  /** Shows what was seen. */
  show(seen) {
    const { model, contextTokens, stats, observation } = seen.event;
    byId("model").textContent = model.name;
    document.title = `${stats.running > 0 ? "● " : ""}${model.name} – specache`;
    byId("running").textContent = count(stats.running);
    byId("waiting").textContent = count(stats.waiting);
    byId("guesses").textContent = percent(seen.guesses.right, seen.guesses.made);
    byId("speed").textContent = seen.speed === null ? "–" : seen.speed.toFixed(1);
    this.#requests(observation);
    this.#askSessions(stats);
    // A front's hosts tell no more where its key is none of their operators'.
    const all = stats.requests !== undefined && stats.pages !== undefined;
    if (all) this.#tiers(stats, observation);
    byId("counts").textContent = all
      ? countsOf(stats, contextTokens)
      : `The hosts tell this server no more; context ${counted(contextTokens, "token")}`;
  }

  #tiers(stats, observation) {
    const held = 1 - stats.pages.free / Math.max(1, stats.pages.all);
    const { nearBytes, reservedBytes, farBytes, fullBytes } = stats;
    byId("near").value = Math.min(1, nearBytes / Math.max(1, reservedBytes));
    byId("near-told").textContent = `${bytes(nearBytes)} of ${bytes(reservedBytes)}`;
    byId("far").value = held;
    byId("far-told").textContent = `${bytes(held * farBytes)} of ${bytes(farBytes)}`;
    const inPlace = observation !== null && observation.slots === 0;
    byId("tiers-told").textContent =
      `${counted(stats.tokens, "token")} held in ${count(stats.pages.all - stats.pages.free)} of ` +
      `${counted(stats.pages.all, "page")}; a full 16-bit cache of them takes ` +
      `${bytes(fullBytes)}.` +
      (inPlace ? " Far memory is RAM here: chosen rows are read in place, none is fetched." : "");
  }

  #requests(observation) {
    const requests = observation?.requests ?? [];
    const others = observation?.others ?? 0;
    const items = requests.map((request) => {
      const { ticket, session, tokens, left, generated, maxTokens, ms } = request;
      const reading = left > 0;
      return {
        title: `Request ${ticket}${session ? ", in a session" : ""}`,
        told: reading
          ? `reads its prompt: ${count(tokens)} tokens held, ${count(left)} left`
          : `${count(generated)} of ${count(maxTokens)} tokens, ${count(tokens)} held, ${time(ms)}`,
        part: reading ? tokens / (tokens + left) : generated / Math.max(1, maxTokens),
      };
    });
    if (others > 0) {
      items.push({
        title: "Others",
        told: `${counted(others, "request")} of other keys`,
        part: null,
      });
    }
    show(byId("requests"), items);
    show(byId("sessions"), this.#sessions);
    const none = byId("none");
    none.hidden = items.length + this.#sessions.length > 0;
    none.textContent = observation === null
      ? "The engine is on other hosts: what it does step by step is shown by their own pages."
      : "Nothing runs.";
  }

  // Sessions are asked for while there are some, and not with each event.
  async #askSessions({ sessions }) {
    if (sessions === 0) this.#sessions = [];
    if (sessions === 0 || performance.now() - this.#asked < SESSIONS_MS) return;
    this.#asked = performance.now();
    const response = await fetch("/v1/sessions", { headers: keyHeaders() }).catch(() => null);
    if (!response?.ok) return;
    const { data } = await response.json();
    this.#sessions = data.map(({ id, length, busy, bytes: { near, full } }) => ({
      title: `Session ${id.slice(0, 8)}`,
      told: `${counted(length, "token")}, ${bytes(near)} near of ${bytes(full)} full` +
        (busy ? ", generates" : ""),
      part: null,
    }));
  }
}
