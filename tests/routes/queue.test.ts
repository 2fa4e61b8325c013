import { Queue } from "../../routes/queue.ts";
import { SpecacheError } from "../../mod.ts";
import { assertEquals, assertRejects, test } from "../harness.ts";

const stays = new AbortController().signal;

test("Queue.take() fills the places, then serves first who came first", async () => {
  const queue = new Queue(2);
  const order: string[] = [];
  const [first, second] = [await queue.take(stays), await queue.take(stays)];
  const waiting = ["third", "fourth"].map((name) =>
    queue.take(stays).then((leave) => {
      order.push(name);
      return leave;
    })
  );
  await Promise.resolve();
  assertEquals([queue.waiting, order.length], [2, 0]);
  second();
  second(); // twice gives one place back
  const leaveThird = await waiting[0];
  assertEquals([queue.waiting, order], [1, ["third"]]);
  first();
  const leaveFourth = await waiting[1];
  assertEquals(order, ["third", "fourth"]);
  leaveThird();
  leaveFourth();
  await queue.take(stays);
  await queue.take(stays);
  assertEquals(queue.waiting, 0);
});

test("Queue.take() gives no place to who left while waiting", async () => {
  const queue = new Queue(1);
  const leave = await queue.take(stays);
  const client = new AbortController();
  const gone = queue.take(client.signal);
  const next = queue.take(stays);
  client.abort();
  const error = await assertRejects(() => gone, SpecacheError, "the client has left");
  assertEquals([error.code, queue.waiting], ["cancelled", 1]);
  leave();
  await next;
  await assertRejects(() => queue.take(client.signal), SpecacheError, "the client has left");
});

test("Queue.take() leaves a place with who has it when its client leaves later", async () => {
  const queue = new Queue(1);
  const leave = await queue.take(stays);
  const client = new AbortController();
  const waits = queue.take(client.signal);
  leave();
  const leaveLater = await waits;
  client.abort();
  assertEquals(queue.waiting, 0);
  leaveLater();
  await queue.take(stays);
});

test("Queue.close() refuses who waits and who comes", async () => {
  const queue = new Queue(1);
  const leave = await queue.take(stays);
  const waits = queue.take(stays);
  queue.close();
  for (const refused of [waits, queue.take(stays)]) {
    const error = await assertRejects(() => refused, SpecacheError, "the server is closing");
    assertEquals(error.code, "closed");
  }
  leave();
});
