// stream.js - /v1/events by fetch, which can send a key as EventSource cannot; opened again where
// it breaks.

const RETRY_MS = [1000, 2000, 4000, 8000];
const KEY = "specache-key";

/** Headers that bring the key of this tab. */
export function keyHeaders() {
  const key = sessionStorage.getItem(KEY);
  return key === null ? {} : { Authorization: `Bearer ${key}` };
}

/** Keeps a key for this tab, until it is closed. */
export function keepKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** The server's own sentence of an answer that is no success. */
export async function sentenceOf(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered ${response.status}`;
  }
}

/** The data of each server-sent event of a body. */
export async function* eventsOf(body) {
  let rest = "";
  for await (const text of readAll(body.pipeThrough(new TextDecoderStream()))) {
    const parts = (rest + text).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).trim()).join("\n");
      if (data !== "") yield data;
    }
  }
}

// Not every browser iterates a stream.
async function* readAll(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** A stream of events that is opened again. */
export class Stream {
  #event;
  #state;
  #query = "";
  #current = null;
  #retry = 0;
  #timer = 0;

  /** `event` takes each event, `state` what the connection is and a sentence for it. */
  constructor(event, state) {
    this.#event = event;
    this.#state = state;
    addEventListener("online", () => this.open());
  }

  /** Opens it anew, with other fields of the query if they are given. */
  open(query = this.#query) {
    this.#query = query;
    clearTimeout(this.#timer);
    this.#current?.abort();
    const current = this.#current = new AbortController();
    this.#run(current.signal).catch((error) => {
      if (!current.signal.aborted) this.#again(`Disconnected: ${error.message}`);
    });
  }

  async #run(signal) {
    const options = { headers: keyHeaders(), signal, cache: "no-store" };
    const response = await fetch(`/v1/events${this.#query}`, options);
    if (!response.ok) return this.#refused(response);
    let closing = false;
    for await (const data of eventsOf(response.body)) {
      const event = JSON.parse(data);
      if (event.error !== undefined) throw new Error(event.error.message);
      closing ||= event.closing === true;
      if (closing) break;
      this.#retry = 0;
      this.#state("live", "Live");
      this.#event(event);
    }
    if (signal.aborted) return;
    if (closing) this.#again("The server is closing: it finishes what runs", "closing");
    else this.#again("Disconnected: the server ended the stream");
  }

  async #refused(response) {
    const sentence = await sentenceOf(response);
    const tried = sessionStorage.getItem(KEY) !== null;
    if (response.status === 401) this.#state("key", "A key is needed", tried ? sentence : null);
    else if (response.status === 403) this.#state("key", "The operator's key is needed", sentence);
    else if (response.status === 429 || response.status >= 500) this.#again(sentence);
    else this.#state("refused", sentence);
  }

  #again(why, state = "lost") {
    const ms = RETRY_MS[Math.min(this.#retry++, RETRY_MS.length - 1)];
    this.#state(state, `${why}; trying again in ${ms / 1000} s`);
    this.#timer = setTimeout(() => this.open(), ms);
  }
}
