// What a hub does wrong: the pull goes on, or refuses in one sentence and leaves no model behind.
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SpecacheError } from "../../engine/errors.ts";
import { listKept, modelsFolder, pullingFolder } from "../../pull/kept.ts";
import { parseModelName } from "../../pull/name.ts";
import { request } from "../../pull/request.ts";
import { assert, assertEquals, assertMatch, assertRejects, test } from "../harness.ts";
import { type Fault, json, REPO, send, sendAndCut, type TestHub, text } from "./hub.ts";
import { filesOf, HASTE, withEnvironment, withHub } from "./support.ts";

const plain = filesOf("tests/golden/llama-plain");
const WEIGHTS = "model.safetensors";
const size = plain[WEIGHTS].byteLength;
const name = parseModelName(REPO)!;
const bytes = (content: string) => new TextEncoder().encode(content);

/** Does it for requests of the weights at the host that keeps them. */
const ofWeights = (fault: Fault): Fault => (asked, answer, content) =>
  asked.host === "store" && asked.path.endsWith(WEIGHTS) && fault(asked, answer, content);

test("a connection that is cut again and again is resumed, no byte twice", async () => {
  const piece = Math.ceil(size / 10);
  await withHub(plain, async ({ hub, pull }) => {
    hub.fault = ofWeights(({ range }, answer, content) => {
      if (hub.askedFor(WEIGHTS).length >= 8) return false;
      sendAndCut(answer, content!, range, piece);
      return true;
    });
    await pull();
    const ranges = hub.askedFor(WEIGHTS).map(({ range }) => range);
    const wanted = Array.from({ length: 8 }, (_, at) => at ? `bytes=${at * piece}-` : undefined);
    assertEquals(ranges, wanted);
  });
});

test("a pull that failed is gone on from by the next one", async () => {
  await withHub(plain, async ({ hub, pull }) => {
    hub.fault = ofWeights(({ range }, answer, content) => {
      if (range === undefined) sendAndCut(answer, content!, range, 1000);
      else text(answer, 503, "");
      return true;
    });
    const error = await assertRejects(() => pull(), SpecacheError);
    assertMatch(error.message, /^Cannot pull: http.+ answers 503 \(4 tries\)$/);
    assertEquals(error.code, "file");
    assertEquals(listKept(), []);
    hub.fault = () => false;
    hub.asked.length = 0;
    await pull();
    assertEquals(hub.askedFor(WEIGHTS).map(({ range }) => range), ["bytes=1000-"]);
    assertEquals(hub.askedFor("config.json"), []);
  });
});

test("a hub that knows no ranges, or refuses one, is asked for the whole file again", async () => {
  for (const status of [200, 416]) {
    await withHub(plain, async ({ hub, pull }) => {
      hub.fault = ofWeights(({ range }, answer, content) => {
        if (hub.askedFor(WEIGHTS).length === 1) sendAndCut(answer, content!, range, 1000);
        else if (status === 200) send(answer, content!, undefined);
        else if (range !== undefined) text(answer, 416, "");
        else return false;
        return true;
      });
      await pull();
      assertEquals(hub.askedFor(WEIGHTS).length, status === 200 ? 2 : 3);
    });
  }
});

test("a hub that is busy for a while, or sends nothing for too long, is asked again", async () => {
  await withHub(plain, async ({ hub, pull }) => {
    hub.fault = (_, answer, content) => {
      const { length } = hub.asked;
      if (length === 1) answer.writeHead(429, { "retry-after": "0" }).end();
      if (length === 3) text(answer, 502, "");
      if (length === 7) {
        answer.writeHead(200, { "content-length": content!.byteLength }).flushHeaders();
      }
      return [1, 3, 7].includes(length);
    };
    await pull(REPO, { patience: { ...HASTE, idleMs: 300 } });
    assert(listKept().length === 1);
  });
});

test("a hub that is slow but sends is waited for", async () => {
  await withHub(plain, async ({ hub, pull }) => {
    const pieces = 6;
    hub.fault = ofWeights((_, answer, content) => {
      answer.writeHead(200, { "content-length": size });
      for (let at = 0; at < pieces; at++) {
        const [from, to] = [at, at + 1].map((part) => Math.floor(size * part / pieces));
        setTimeout(() => answer.write(content!.subarray(from, to)), 300 * at);
      }
      setTimeout(() => answer.end(), 300 * pieces);
      return true;
    });
    await pull(REPO, { patience: { ...HASTE, idleMs: 1500 } });
    assertEquals(hub.askedFor(WEIGHTS).length, 1);
  });
});

test("what is left of another commit, or longer than its file, is not gone on from", async () => {
  await withHub(plain, async ({ hub, pull }) => {
    hub.fault = ofWeights(answer404);
    await assertRejects(() => pull(), SpecacheError);
    assertEquals(readdirSync(pullingFolder(name)), [hub.commit]);
    hub.commit = "b".repeat(40);
    await assertRejects(() => pull(), SpecacheError);
    assertEquals(readdirSync(pullingFolder(name)), [hub.commit]);
    writeFileSync(join(pullingFolder(name), hub.commit, WEIGHTS), new Uint8Array(size + 1));
    hub.fault = () => false;
    hub.asked.length = 0;
    await pull();
    assertEquals(hub.askedFor(WEIGHTS).map(({ range }) => range), [undefined]);
  });
});

type Row = readonly [what: string, code: string, sentence: RegExp, change: (hub: TestHub) => void];

const answer404: Fault = (_, answer) => (text(answer, 404, ""), true);

const rows: readonly Row[] = [
  ["a model that is not there", "file", /answers 404: there is no such model/, (hub) => {
    hub.fault = answer404;
  }],
  ["a revision that is not there", "file", /revision\/main answers 404/, (hub) => {
    hub.revisions = ["v1"];
  }],
  ["a listed file that is not there", "file", /\/model\.safetensors answers 404/, (hub) => {
    hub.fault = ofWeights(answer404);
  }],
  ["a model that asks for access", "file", /answers 401: .+ and HF_TOKEN is not set$/, (hub) => {
    hub.fault = (_, answer) => (text(answer, 401, ""), true);
  }],
  ["another sha256", "data", /sha256 \w{64} of model\.safetensors is not \w{64}$/, (hub) => {
    hub.fault = ofWeights(({ range }, answer, content) => {
      send(answer, content!.map((byte) => byte ^ 1), range);
      return true;
    });
  }],
  ["another blob of git", "data", /git's sha1 \w{40} of config\.json is not 0{40}$/, (hub) => {
    hub.listed["config.json"] = { oid: "0".repeat(40) };
  }],
  ["a file that is shorter than listed", "data", /has \d+ bytes, not the listed \d+$/, (hub) => {
    hub.fault = ofWeights((_, answer, content) => {
      send(answer, content!.subarray(1), undefined);
      return true;
    });
  }],
  ["more bytes than listed", "data", /has at least \d+ bytes, not the listed \d+$/, (hub) => {
    hub.fault = ofWeights((_, answer, content) => {
      answer.writeHead(200).end(new Uint8Array(content!.byteLength + 1)); // no length
      return true;
    });
  }],
  ["a range of another size", "data", /has 9 bytes, not the listed \d+$/, (hub) => {
    hub.fault = ofWeights(({ range }, answer, content) => {
      if (range === undefined) sendAndCut(answer, content!, range, 1000);
      else answer.writeHead(206, { "content-range": "bytes 1000-1001/9" }).end("ab");
      return true;
    });
  }],
  ["a range that begins elsewhere", "file", /cannot be resumed at 1000 \(4 tries\)$/, (hub) => {
    hub.fault = ofWeights(({ range }, answer, content) => {
      if (range === undefined) sendAndCut(answer, content!, range, 1000);
      else answer.writeHead(206, { "content-range": `bytes 0-1/${size}` }).end("ab");
      return true;
    });
  }],
  ["redirects without end", "data", /redirects more than 5 times$/, (hub) => {
    hub.fault = ofWeights(({ path }, answer) => {
      answer.writeHead(302, { location: path }).end();
      return true;
    });
  }],
  ["a redirect to a file", "data", /redirects to null\/etc\/passwd$/, (hub) => {
    hub.fault = ofWeights((_, answer) => {
      answer.writeHead(302, { location: "file:///etc/passwd" }).end();
      return true;
    });
  }],
  ["a list that is no JSON", "data", /answers with text that is not JSON$/, (hub) => {
    hub.fault = ({ path }, answer) => {
      if (path.includes("/tree/")) text(answer, 200, "<html>");
      return path.includes("/tree/");
    };
  }],
  ["a list with a negative size", "data", /answers with file \{.*"size":-1/, (hub) => {
    hub.listed["config.json"] = { size: -1 };
  }],
  ["a list that is no list", "file", /^Cannot pull: http.+ \(4 tries\)$/, (hub) => {
    hub.fault = ({ path }, answer) => {
      if (path.includes("/tree/")) json(answer, { a: 1 });
      return path.includes("/tree/");
    };
  }],
  ["a commit that is none", "data", /answers with commit \.\.\/\.\.$/, (hub) => {
    hub.commit = "../..";
  }],
  ["an index that names other folders", "file", /names "\.\.\/x", which is not there$/, (hub) => {
    const index = bytes(JSON.stringify({ weight_map: { a: "../x" } }));
    hub.files.set("model.safetensors.index.json", index);
    hub.files.set("../x", bytes("x"));
  }],
  ["more than the disk holds", "capacity", /^Cannot pull: \d+ bytes are above/, (hub) => {
    const lfs = { oid: "0".repeat(64), size: 2 ** 52 };
    hub.listed[WEIGHTS] = { lfs };
  }],
];

for (const [what, code, sentence, change] of rows) {
  test(`pull() refuses ${what}, keeps no model, and works afterwards`, async () => {
    await withHub(plain, async ({ hub, home, pull }) => {
      const { commit, revisions, fault } = hub;
      change(hub);
      const error = await assertRejects(() => pull(), SpecacheError);
      assertEquals(error.code, code);
      assertMatch(error.message, sentence);
      assertEquals(listKept(), []);
      assertEquals(readdirSync(home.path).filter((entry) => entry !== "models"), []);
      for (const extra of ["../x", "model.safetensors.index.json"]) hub.files.delete(extra);
      Object.assign(hub, { commit, revisions, fault, listed: {} });
      await pull();
      assertEquals(readdirSync(modelsFolder()).sort(), ["hub", "pulling"]);
      assertEquals(readdirSync(join(modelsFolder(), "pulling")), []);
      assert(!existsSync(pullingFolder(name)));
    });
  });
}

test("the token goes to the hub alone, not to where it redirects", async () => {
  await withHub(plain, async ({ hub, pull }) => {
    await pull();
    const of = (host: string) => hub.asked.filter((asked) => asked.host === host);
    assert(of("hub").length > 3 && of("store").length > 0);
    for (const { authorization } of of("hub")) assertEquals(authorization, "Bearer hf_secret");
    for (const { authorization } of of("store")) assertEquals(authorization, undefined);
  }, "hf_secret");
});

test("an https hub that redirects to http is refused", async () => {
  await withHub(plain, async ({ hub }) => {
    hub.fault = (_, answer) => (answer.writeHead(302, { location: hub.url }).end(), true);
    const secure = { url: "https://hub.invalid", token: null, patience: HASTE };
    const error = await assertRejects(() => request(secure, `${hub.url}/x`, {}), SpecacheError);
    assertEquals(error.code, "data");
    assertMatch(error.message, /\/x redirects to http:\/\/127\.0\.0\.1:\d+\/$/);
  });
});

test("a token that gives no access is not in the sentence", async () => {
  await withHub(plain, async ({ hub, pull }) => {
    hub.fault = (_, answer) => (text(answer, 403, ""), true);
    const { message } = await assertRejects(() => pull(), SpecacheError);
    assertMatch(message, /answers 403: .+ the token in HF_TOKEN does not give it$/);
    assert(!message.includes("secret"));
  }, "hf_secret");
});

const variables: readonly [Record<string, string>, RegExp][] = [
  [{ HF_ENDPOINT: "nowhere" }, /HF_ENDPOINT nowhere is no http address$/],
  [{ HF_ENDPOINT: "file:///tmp" }, /HF_ENDPOINT file:\/\/\/tmp is no http address$/],
  [{ HF_ENDPOINT: "http://127.0.0.1:1" }, /^Cannot pull: http:\/\/127\.0\.0\.1:1.*\(4 tries\)$/],
  [{ HF_TOKEN: "a\nb" }, /^Cannot pull: HF_TOKEN holds what no token does$/],
];

for (const [set, sentence] of variables) {
  test(`pull() refuses ${JSON.stringify(set)}`, async () => {
    await withHub(plain, async ({ pull }) => {
      const { message } = await assertRejects(
        () => withEnvironment(set, () => pull()),
        SpecacheError,
      );
      assertMatch(message, sentence);
    });
  });
}
