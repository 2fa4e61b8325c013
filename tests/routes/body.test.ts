// A body that does not come, whoever waits for it.
import { jsonOf } from "../../routes/body.ts";
import { RequestError } from "../../routes/errors.ts";
import { assertEquals, assertRejects, test } from "../harness.ts";

test("a body of which nothing more comes is given up when its time is over", async () => {
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode('{"a"')),
    cancel: () => void (cancelled = true),
  });
  const headers = { "Content-Type": "application/json" };
  const init = { method: "POST", headers, body, duplex: "half" };
  const request = new Request("http://localhost/", init as RequestInit);
  const error = await assertRejects(() => jsonOf(request, 100, 0.03), RequestError);
  const sentence = "Cannot read the body: after 0.03 s only 4 bytes of it are there";
  assertEquals([error.status, error.message, cancelled], [408, sentence, true]);
});
