// try.js - a prompt is sent from the page itself, so that there is something to see.
import { counted } from "./format.js";
import { eventsOf, keyHeaders, sentenceOf } from "./stream.js";

/** The form that sends a prompt. */
export class Try {
  #form = document.querySelector("#try form");
  #told = document.getElementById("try-told");
  #send = document.getElementById("send");
  #running = null;
  #contextTokens = 1024;

  constructor() {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#running !== null) this.#running.abort();
      else this.#start();
    });
    document.getElementById("example").addEventListener("click", () => {
      document.getElementById("prompt").value = example(this.#contextTokens);
      document.getElementById("chat").checked = false; // it ends where the answer begins
    });
  }

  /** Knows how long a text may be. */
  show({ contextTokens }) {
    this.#contextTokens = contextTokens;
  }

  async #start() {
    const running = this.#running = new AbortController();
    this.#send.textContent = "Stop";
    try {
      this.#told.textContent = "Sent; it waits for its turn.";
      this.#told.textContent = await this.#run(running.signal);
    } catch (error) {
      this.#told.textContent = running.signal.aborted
        ? "Stopped."
        : `It could not be sent: ${error.message}`;
    } finally {
      this.#running = null;
      this.#send.textContent = "Send";
    }
  }

  async #run(signal) {
    const response = await fetch("/v1/generate", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...keyHeaders() },
      body: JSON.stringify(this.#body()),
      signal,
    });
    if (!response.ok) return await sentenceOf(response);
    let result = null;
    for await (const data of eventsOf(response.body)) {
      const event = JSON.parse(data);
      if (event.error !== undefined) return event.error.message;
      if (event.piece !== undefined) this.#told.textContent = "It generates.";
      result = event.result ?? result;
    }
    if (result === null) return "The stream ended early.";
    const { usage, timing } = result;
    return `Done: ${counted(usage.completionTokens, "token")}, ` +
      `${timing.tokensPerSecond.toFixed(1)} a second, ${timing.tokensPerStep.toFixed(2)} a step; ` +
      `${counted(usage.cachedTokens, "token")} of the prompt were held already.`;
  }

  #body() {
    const prompt = document.getElementById("prompt").value;
    const maxTokens = Number(document.getElementById("most").value);
    const chat = document.getElementById("chat").checked;
    const asked = chat ? { messages: [{ role: "user", content: prompt }] } : { prompt };
    return { ...asked, maxTokens, guesses: 1, stream: true };
  }
}

// A text with a fact in its middle and a question at its end, as long as half the context at most.
function example(contextTokens) {
  const who = [
    "A heron",
    "The miller",
    "An old ferry",
    "The east wind",
    "A grey mare",
    "The clerk",
  ];
  const what = ["stood by", "passed", "left", "came back to", "was seen near", "waited at"];
  const where = ["the mill", "the long bridge", "a quiet harbour", "the north gate", "the orchard"];
  const lines = Math.max(6, Math.min(60, Math.floor(contextTokens / 2 / 18)));
  const text = Array.from({ length: lines }, (_, line) => {
    const part = (words, step) => words[(line * step + (line >> 2)) % words.length];
    if (line === lines >> 1) return "The code of amber is 44219.";
    return `${part(who, 5)} ${part(what, 7)} ${part(where, 3)} on day ${line + 1}.`;
  });
  return `${text.join(" ")}\nRecall: The code of amber is`;
}
