// A client that reads nothing: what a front then reads of its hosts, and that it goes on later.
import { AHEAD as HOST_AHEAD } from "../../edge/generation.ts";
import { createApp } from "../../routes/app.ts";
import { AHEAD } from "../../routes/choices.ts";
import { chatBody, eventsOf, post } from "../routes/fake.ts";
import { assertEquals, assertGreater, assertLess, test } from "../harness.ts";
import { until } from "../cli/server.ts";
import { events, over, RESULT, Scripted } from "./scripted.ts";

const SENT_AHEAD = 16 + 2; // events that wait in an answer's stream, and in those who make them
const PIECE_BYTES = 1 << 16;
const text = "x".repeat(PIECE_BYTES);
const encoder = new TextEncoder();
// What sockets and runtimes of either side may hold of a connection.
const SOCKET_PIECES = (32 << 20) / PIECE_BYTES;

// Answers of so many pieces; `sent` counts them over all answers.
class Talk {
  sent = 0;

  constructor(readonly pieces: number) {}

  answer(): Response {
    let at = 0;
    const body = new ReadableStream({
      pull: (controller) => {
        const event = at < this.pieces ? { piece: { id: at, text } } : { result: RESULT };
        controller.enqueue(encoder.encode(`data: ${JSON.stringify(event)}\n\n`));
        if (at++ === this.pieces) controller.close();
        else this.sent++;
      },
    }, { highWaterMark: 0 });
    return new Response(body);
  }

  // Its count once it stands still.
  async settled(): Promise<number> {
    for (let before = -1; before !== this.sent;) {
      before = this.sent;
      await new Promise((answer) => setTimeout(answer, 200));
    }
    return this.sent;
  }
}

const asked: readonly [string, object, number][] = [
  ["/v1/chat/completions", chatBody({ stream: true }), 1],
  ["/v1/chat/completions", chatBody({ stream: true, n: 3 }), 3],
  ["/v1/completions", { model: "fake", prompt: ["a", "b"], stream: true }, 2],
  ["/v1/responses", { model: "fake", input: "hi", stream: true }, 1],
  ["/v1/generate", { prompt: "hi", stream: true }, 1],
];

for (const [path, body, answers] of asked) {
  test(`of ${answers} streams of ${path} that nobody reads a front takes no more`, async () => {
    const talk = new Talk(1e6);
    await using host = await Scripted.start(() => talk.answer());
    const app = createApp(await over([host]));
    const response = await app.fetch(post(path, body));
    await until(() => talk.sent > 0);
    const ahead = answers * (HOST_AHEAD + AHEAD + SOCKET_PIECES) + SENT_AHEAD;
    assertLess(await talk.settled(), ahead);
    await response.body!.cancel();
    await until(() => host.heard.every(({ signal }) => signal.aborted));
  });
}

// Far more than what is read ahead, and few enough to be read in a test.
const PIECES = 700;

for (const n of [1, 3]) {
  test(`a stream of ${n} choices that waited for its client goes on to its end`, async () => {
    const talk = new Talk(PIECES);
    await using host = await Scripted.start(() => talk.answer());
    const app = createApp(await over([host]));
    const response = await app.fetch(post("/v1/chat/completions", chatBody({ n, stream: true })));
    await talk.settled();
    const told = await eventsOf(response);
    const counts = Array.from({ length: n }, () => 0);
    for (const { choices } of told.slice(0, -1)) {
      counts[choices[0].index] += Number((choices[0].delta.content ?? "") !== "");
    }
    assertEquals([counts, told.at(-1)], [Array(n).fill(PIECES), "[DONE]"]);
  });
}

test("a choice that fails ends those that wait for a reader", async () => {
  const talk = new Talk(1e6);
  const error = { message: "Cannot answer: no", type: "server_error", code: "closed" };
  await using host = await Scripted.start(() =>
    host.heard.length === 2 ? events([{ error }]) : talk.answer()
  );
  const app = createApp(await over([host]));
  const body = chatBody({ n: 2, stream: true });
  const told = await eventsOf(await app.fetch(post("/v1/chat/completions", body)));
  assertEquals(told.at(-1).error?.code, "closed");
  assertGreater(talk.sent, 0);
  await until(() => host.heard[0].signal.aborted);
});
