import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OptaError } from "../../src/protocol/error.ts";
import type { SessionFile } from "../../src/protocol/session.ts";
import { createSessionStore } from "../../src/store/session-file.ts";
import type { SessionStore } from "../../src/store/session-store.ts";

let root = "";
let directory = "";
let store: SessionStore;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "opta-sessions-"));
  directory = join(root, "opta/sessions");
  store = createSessionStore({ directory });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function session(id: string, changes: Partial<SessionFile> = {}): SessionFile {
  const at = "2026-01-02T03:04:05.000Z";
  return {
    id,
    title: "Fix the bug",
    messages: [
      { role: "user", content: "fix the bug, naïve café 🐛" },
      { role: "assistant", content: "done" },
    ],
    metadata: { workspace: "/w", model: "m", createdAt: at, updatedAt: at },
    created: at,
    updated: at,
    model: "m",
    cwd: "/w",
    tags: [],
    toolCallCount: 0,
    compacted: false,
    seq: 12,
    ...changes,
  };
}

const pathOf = (id: string) => join(directory, `${id}.json`);
const modeOf = (path: string) => statSync(path).mode & 0o777;

function writeRaw(name: string, content: string | Uint8Array): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, name), content);
}

async function failure(work: Promise<unknown>): Promise<OptaError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(thrown instanceof OptaError)) throw new Error(`no OptaError but ${String(thrown)}`);
  return thrown;
}

describe("save and load", () => {
  test("what was saved is loaded, and lies indented and private in a private directory", async () => {
    await store.save(session("one"));
    expect(await store.load("one")).toEqual(session("one"));
    expect(readFileSync(pathOf("one"), "utf8")).toBe(
      `${JSON.stringify(session("one"), null, 2)}\n`,
    );
    expect([pathOf("one"), directory, join(root, "opta")].map(modeOf)).toEqual([
      0o600, 0o700, 0o700,
    ]);
    expect(readdirSync(directory)).toEqual(["one.json"]);
  });

  test("load and save keep what others wrote, in its order, and make the file private", async () => {
    const file = { ...session("one"), zebra: { b: 1, a: [null] }, apple: 1 };
    writeRaw("one.json", JSON.stringify(file));
    await store.save(await store.load("one"));
    expect(JSON.stringify(JSON.parse(readFileSync(pathOf("one"), "utf8")))).toBe(
      JSON.stringify(file),
    );
    expect(modeOf(pathOf("one"))).toBe(0o600);
  });

  test("a session that is not there is not found, and nothing is created", async () => {
    expect(await failure(store.load("none"))).toMatchObject({ code: "not-found" });
    expect(await failure(store.delete("none"))).toMatchObject({ code: "not-found" });
    expect(await store.list()).toEqual({ sessions: [], corrupt: [] });
    expect(existsSync(directory)).toBe(false);
  });

  test.each([
    "../victim",
    "a/b",
    "",
    ".",
    "..",
    "a".repeat(65),
    "a.json",
    "index",
    "INDEX",
    "a\0b",
    "é",
  ])("%j is no session id for any method", async (id) => {
    writeRaw("../victim.json", JSON.stringify(session("victim")));
    for (const attempt of [
      store.load(id),
      store.save(session(id)),
      store.delete(id),
      store.lock(id),
      Promise.try(() => store.outputDirectory(id)),
    ]) {
      expect(await failure(attempt)).toMatchObject({ code: "usage" });
    }
    expect(existsSync(join(root, "opta/victim.json"))).toBe(true);
  });

  test("a place that cannot be written or read gives storage-failed with the path", async () => {
    writeFileSync(join(root, "opta"), "a file where a directory should be");
    for (const attempt of [
      () => store.save(session("one")),
      () => store.lock("one"),
      () => store.load("one"),
      () => store.list(),
    ]) {
      expect(await failure(attempt())).toMatchObject({ code: "storage-failed" });
    }
    const error = await failure(store.save(session("one")));
    expect(error.message).toContain(pathOf("one"));
    expect(error.hint).toContain("OPTA_CONFIG_DIR=DIR opta do");
  });
});

/** Root may write anywhere. The child changes its user itself, after loading: others may not reach bun or these sources. */
const becomeOrdinaryUser =
  "if (process.getuid() === 0) { process.setgid(65534); process.setuid(65534); }";

test("in a directory that may only be read, reading works and writing gives one clear error", async () => {
  await store.save(session("one"));
  chmodSync(pathOf("one"), 0o644);
  for (const path of [directory, join(root, "opta"), root]) chmodSync(path, 0o555);
  const modulePath = join(import.meta.dir, "../../src/store/session-file.ts");
  const code = `
    const { createSessionStore } = require(${JSON.stringify(modulePath)});
    ${becomeOrdinaryUser}
    const store = createSessionStore({ directory: ${JSON.stringify(directory)} });
    const outcome = (work) => work.then(() => "ok", ({ code, message }) => code + ": " + message);
    (async () => {
      const { sessions } = await store.list();
      const one = await store.load("one");
      const attempts = [store.save(one), store.lock("one"), store.delete("one")].map(outcome);
      console.log(JSON.stringify([sessions.length, one.title, ...(await Promise.all(attempts))]));
    })();`;
  const child = Bun.spawn([process.execPath, "-e", code], { stdout: "pipe" });
  const [count, title, ...refusals] = JSON.parse(await new Response(child.stdout).text());
  for (const path of [root, join(root, "opta"), directory]) chmodSync(path, 0o700);
  expect([count, title]).toEqual([1, "Fix the bug"]);
  expect(refusals).toEqual([
    `storage-failed: cannot write ${pathOf("one")}: permission denied`,
    `storage-failed: cannot lock session one in ${directory}: permission denied`,
    `storage-failed: cannot lock session one in ${directory}: permission denied`,
  ]);
});

test("a lock that fails leaves no empty directory, and says how to work elsewhere", async () => {
  mkdirSync(directory, { recursive: true });
  for (const path of [root, join(root, "opta")]) chmodSync(path, 0o755);
  chmodSync(directory, 0o777);
  const modulePath = join(import.meta.dir, "../../src/store/session-file.ts");
  // The side directory can be made, but nothing in it.
  const code = `
    const { createSessionStore } = require(${JSON.stringify(modulePath)});
    ${becomeOrdinaryUser}
    process.umask(0o777);
    const store = createSessionStore({ directory: ${JSON.stringify(directory)} });
    store.lock("one").catch(({ code, message, hint }) => console.log(JSON.stringify([code, message, hint])));`;
  const child = Bun.spawn([process.execPath, "-e", code], { stdout: "pipe" });
  const [kind, message, hint] = JSON.parse(await new Response(child.stdout).text());
  expect(kind).toBe("storage-failed");
  expect(message).toBe(`cannot lock session one in ${directory}: permission denied`);
  expect(hint).toStartWith("OPTA_CONFIG_DIR=DIR opta do");
  expect(readdirSync(directory)).toEqual([]);
});

describe("corrupt files", () => {
  test("load keeps the file aside under a free name, and says which", async () => {
    writeRaw("one.json", '{"title": "half');
    writeRaw("one.json.corrupt-1", "an earlier one");
    const error = await failure(store.load("one"));
    expect(error.code).toBe("session-corrupt");
    expect(error.message).toContain(`${pathOf("one")}.corrupt-2`);
    expect(readFileSync(`${pathOf("one")}.corrupt-2`, "utf8")).toBe('{"title": "half');
    expect(readFileSync(`${pathOf("one")}.corrupt-1`, "utf8")).toBe("an earlier one");
    expect(existsSync(pathOf("one"))).toBe(false);
    await store.save(session("one"));
    expect(readdirSync(directory).sort()).toEqual([
      "one.json",
      "one.json.corrupt-1",
      "one.json.corrupt-2",
    ]);
  });

  test("list names the file, leaves it where it is, and lists the others", async () => {
    await store.save(session("good"));
    writeRaw("bad.json", "[]");
    const { sessions, corrupt } = await store.list();
    expect(sessions.map(({ sessionId }) => sessionId)).toEqual(["good"]);
    expect(corrupt).toEqual([pathOf("bad")]);
    expect(readFileSync(pathOf("bad"), "utf8")).toBe("[]");
  });

  test("after 200 random flips and cuts a file is loaded whole or kept aside byte for byte", async () => {
    const original = Buffer.from(JSON.stringify(session("one"), null, 2));
    const random = createRandom(20260101);
    let keptAside = 0;
    for (let round = 0; round < 200; round++) {
      const damaged = Buffer.from(original);
      const position = random(original.length);
      const isCut = round % 4 === 0;
      if (!isCut) damaged[position] = (damaged[position] ?? 0) ^ (1 << random(8));
      const bytes = isCut ? damaged.subarray(0, position) : damaged;
      writeRaw("one.json", bytes);
      await store.list();
      const loaded = await store.load("one").catch((error: unknown) => error);
      if (loaded instanceof Error) {
        expect(loaded).toMatchObject({ code: "session-corrupt" });
        const kept = /kept as (.*)$/.exec(loaded.message)?.[1] ?? "";
        expect(readFileSync(kept)).toEqual(Buffer.from(bytes));
        keptAside++;
        continue;
      }
      // What was read, written again, still holds every value that the damaged file held.
      await store.save(loaded as SessionFile);
      const before: object = JSON.parse(Buffer.from(bytes).toString("utf8"));
      const after: object = JSON.parse(readFileSync(pathOf("one"), "utf8"));
      expect(after).toMatchObject({ ...before, id: "one" });
      expect((loaded as SessionFile).messages).toHaveLength(2);
    }
    expect(keptAside).toBeGreaterThan(50);
    expect(keptAside).toBeLessThan(200);
  });
});

describe("list", () => {
  test("is newest first, with what a list shows", async () => {
    for (const [id, updatedAt] of [
      ["old", "2026-01-01T00:00:00.000Z"],
      ["new", "2026-03-01T00:00:00.000Z"],
      ["mid", "2026-02-01T01:00:00.000+01:00"],
      ["odd", "yesterday"],
    ] as const) {
      const { metadata } = session(id);
      await store.save(session(id, { metadata: { ...metadata, updatedAt } }));
    }
    const { sessions } = await store.list();
    expect(sessions.map(({ sessionId }) => sessionId)).toEqual(["new", "mid", "old", "odd"]);
    expect(sessions[0]).toEqual({
      sessionId: "new",
      title: "Fix the bug",
      workspace: "/w",
      model: "m",
      createdAt: "2026-01-02T03:04:05.000Z",
      updatedAt: "2026-03-01T00:00:00.000Z",
      tags: [],
      messageCount: 2,
    });
  });

  test("what others keep in the directory is not a session", async () => {
    await store.save(session("one"));
    writeRaw("index.json", '{"entries":{}}');
    writeRaw("one.json.corrupt-1", "x");
    writeRaw(".123-abcdefghijkl.opta-tmp", "x");
    writeRaw("notes.txt", "x");
    mkdirSync(join(directory, "dir.json"));
    mkdirSync(join(directory, "one"));
    symlinkSync("nowhere", join(directory, "dangling.json"));
    const { sessions, corrupt } = await store.list();
    expect(sessions.map(({ sessionId }) => sessionId)).toEqual(["one"]);
    expect(corrupt).toEqual([]);
  });

  test("a thousand sessions, one of them of 20 MB, are listed", async () => {
    const text = JSON.stringify(session("x"));
    for (let number = 0; number < 1000; number++) writeRaw(`s${number}.json`, text);
    const content = "0123456789abcdef".repeat(1_250_000);
    await store.save(session("big", { messages: [{ role: "user", content }] }));
    expect((await store.list()).sessions).toHaveLength(1001);
  }, 20_000);
});

describe("delete", () => {
  test("removes the file and its side directory, and only those", async () => {
    await store.save(session("one"));
    await store.save(session("two"));
    mkdirSync(store.outputDirectory("one"), { recursive: true });
    writeFileSync(join(store.outputDirectory("one"), "1.txt"), "long output");
    await store.delete("one");
    expect(readdirSync(directory)).toEqual(["two.json"]);
  });

  test("is refused while somebody works in the session", async () => {
    await store.save(session("one"));
    const lock = await store.lock("one");
    expect(await failure(store.delete("one"))).toMatchObject({ code: "session-locked" });
    lock.release();
    await store.delete("one");
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe("lock", () => {
  test("makes a private side directory and leaves nothing behind", async () => {
    const lock = await store.lock("one");
    expect(modeOf(join(directory, "one"))).toBe(0o700);
    expect(readdirSync(join(directory, "one")).sort()).toEqual(["holder.json", "lock"]);
    lock.release();
    lock.release();
    expect(readdirSync(directory)).toEqual([]);
  });

  test("a side directory with output in it stays", async () => {
    const lock = await store.lock("one");
    mkdirSync(store.outputDirectory("one"), { recursive: true });
    lock.release();
    expect(readdirSync(join(directory, "one"))).toEqual(["output"]);
  });

  test("two sessions are locked independently", async () => {
    const one = await store.lock("one");
    const two = await store.lock("two");
    one.release();
    expect(await failure(store.lock("two"))).toMatchObject({ code: "session-locked" });
    two.release();
  });

  test("the second process is told who holds it and since when; the lock dies with its holder", async () => {
    const modulePath = join(import.meta.dir, "../../src/store/session-file.ts");
    const child = Bun.spawn(
      [
        process.execPath,
        "-e",
        `process.argv.splice(1, Infinity, "opta", "do", "secret prompt");
         const { createSessionStore } = require(${JSON.stringify(modulePath)});
         const store = createSessionStore({ directory: ${JSON.stringify(directory)} });
         store.lock("one").then((lock) => { console.log("locked"); setInterval(() => lock, 1000); });`,
      ],
      { stdout: "pipe", stderr: "inherit" },
    );
    const { value } = await child.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toBe("locked\n");
    const error = await failure(store.lock("one"));
    expect(error.code).toBe("session-locked");
    expect(error.message).toMatch(
      new RegExp(`^session one is in use by pid ${child.pid} \\(opta do\\) since \\d\\d:\\d\\d$`),
    );
    expect(error.hint).toContain(`kill ${child.pid}`);
    child.kill("SIGKILL");
    await child.exited;
    (await store.lock("one")).release();
    expect(readdirSync(directory)).toEqual([]);
  });

  test("a holder whose facts make no sense is still a holder", async () => {
    const lock = await store.lock("one");
    writeFileSync(join(directory, "one/holder.json"), '{"pid":"\\u001b[31m"}');
    expect((await failure(store.lock("one"))).message).toBe(
      "session one is in use by another process",
    );
    lock.release();
  });
});

/** Numbers below a bound, the same ones on every run (mulberry32). */
function createRandom(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}
