import { Sealer } from "../../edge/sealed.ts";
import { assert, assertEquals, assertMatch, assertNotEquals, test } from "../harness.ts";

const held = { host: "1k3x9qz", id: "6a7f2f0e-1111-2222-3333-444455556666" };

test("a sealed name opens where the secret and the tenant are the same", async () => {
  const name = await new Sealer("secret").seal(held, "anna");
  assertEquals(await new Sealer("secret").open(name, "anna"), held);
  assertEquals(await new Sealer("secret").open(name, "bert"), null);
  assertEquals(await new Sealer("other").open(name, "anna"), null);
});

test("a sealed name shows neither the host nor its id, and is another one each time", async () => {
  const sealer = new Sealer("secret");
  const [one, other] = [await sealer.seal(held, ""), await sealer.seal(held, "")];
  assertMatch(one, /^[\w-]+$/);
  assertNotEquals(one, other);
  assert(!atob(one.replaceAll("-", "+").replaceAll("_", "/")).includes(held.host));
});

test("a name that was changed at any place opens nothing", async () => {
  const sealer = new Sealer("secret");
  const name = await sealer.seal(held, "anna");
  for (let at = 0; at < name.length - 1; at++) { // the last one may hold bits of no byte
    const changed = name.slice(0, at) + (name[at] === "A" ? "B" : "A") + name.slice(at + 1);
    assertEquals(await sealer.open(changed, "anna"), null, changed);
  }
});

test("what was never sealed opens nothing", async () => {
  const sealer = new Sealer("secret");
  const names = ["", "..", "a", "A".repeat(41), "A".repeat(1001), "ä".repeat(50), held.id, "%00"];
  for (const name of names) assertEquals(await sealer.open(name, ""), null, name);
});

test("what was sealed and is no name opens nothing", async () => {
  const sealer = new Sealer("secret");
  for (const id of ["../stores/x", "a?b", "a/b", "", "a b", "%2e", "."]) {
    assertEquals(await sealer.open(await sealer.seal({ host: "h", id }, ""), ""), null, id);
  }
});
