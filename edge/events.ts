// events.ts - the server-sent events of an answer, as they come: no further is read than is asked
// for, so that who reads slowly slows the host's connection and fills nobody's memory.
import { createParser } from "eventsource-parser";

/** The data of each event, parsed. Leaving early gives the connection back. */
export async function* eventsOf(response: Response): AsyncGenerator<Record<string, unknown>> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let events: string[] = [];
  const parser = createParser({ onEvent: ({ data }) => void events.push(data) });
  try {
    while (true) {
      const { value, done } = await reader.read();
      if (done) return;
      parser.feed(decoder.decode(value, { stream: true }));
      const whole = events;
      events = [];
      for (const data of whole) if (data !== "[DONE]") yield objectOf(data);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function objectOf(data: string): Record<string, unknown> {
  const value = JSON.parse(data);
  if (typeof value === "object" && value !== null) return value;
  throw new Error(`an event is ${data.slice(0, 60)}, no object`);
}
