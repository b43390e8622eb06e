import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createLogFile,
  type LogEntry,
  type LogFile,
  type LogFileOptions,
} from "../../src/daemon/log-file.ts";
import { followLog, readLogTail } from "../../src/daemon/log-reader.ts";
import { rounds, roundsLimitMs } from "../support/rounds.ts";

const place = { directory: "" };
const at = (name: string) => join(place.directory, name);
beforeEach(() => {
  place.directory = mkdtempSync(join(tmpdir(), "opta-log-"));
});
afterEach(() => rmSync(place.directory, { recursive: true, force: true }));

const now = () => new Date("2026-03-01T12:00:00.000Z");
const ts = "2026-03-01T12:00:00.000Z";

function openLog(options: Partial<LogFileOptions> = {}): LogFile {
  return createLogFile({
    path: at("daemon.log"),
    daemonId: "daemon_ab12cd34",
    secrets: () => [],
    now,
    ...options,
  });
}

/** The lines of a file, each as JSON. */
function readLines(name = "daemon.log"): Record<string, unknown>[] {
  const lines = readFileSync(at(name), "utf8").split("\n");
  expect(lines.pop()).toBe("");
  return lines.map((line) => JSON.parse(line));
}

/** Rotates every few lines. */
const small = { maxBytes: 1_000 };

describe("a line", () => {
  test("is an object with time, level, daemon, message and data", () => {
    const log = openLog();
    log.info("listening", { port: 9999 });
    log.warn("slow client");
    log.error("turn failed", { code: "internal", nested: { list: [1, "two", null, true] } });
    log.close();
    const daemonId = "daemon_ab12cd34";
    expect(readLines()).toEqual([
      { ts, level: "info", daemonId, msg: "listening", data: { port: 9999 } },
      { ts, level: "warn", daemonId, msg: "slow client" },
      {
        ts,
        level: "error",
        daemonId,
        msg: "turn failed",
        data: { code: "internal", nested: { list: [1, "two", null, true] } },
      },
    ]);
  });

  test("is on disk when the call returns, for every reader", () => {
    const log = openLog();
    log.info("one");
    expect(readLines()).toHaveLength(1);
    log.info("two");
    expect(readLines()).toHaveLength(2);
    log.close();
  });

  test("has nothing that a terminal obeys, and the same text once parsed", () => {
    const text = "\u001b[31mred\u009b2J\u007f\u202eedoc\u2066 \u2028line\nfeed\ttab";
    const log = openLog();
    log.info(text, { [text]: text });
    log.close();
    const raw = readFileSync(at("daemon.log"), "utf8");
    // eslint-disable-next-line no-control-regex -- control characters are the subject
    expect(raw.trimEnd()).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/);
    expect(readLines()[0]).toMatchObject({ msg: text, data: { [text]: text } });
  });

  test("of an error keeps what is needed to find it", () => {
    const log = openLog();
    const cause = Object.assign(new Error("no space"), { code: "ENOSPC" });
    log.error("unexpected", new TypeError("broken", { cause }));
    log.close();
    expect(readLines()[0]?.["data"]).toMatchObject({
      name: "TypeError",
      message: "broken",
      stack: expect.stringContaining("log-file.test.ts"),
      cause: { name: "Error", message: "no space", code: "ENOSPC" },
    });
  });

  test("takes data that JSON cannot carry", () => {
    const cycle: Record<string, unknown> = { name: "cycle" };
    cycle["self"] = cycle;
    const trap = {
      get now() {
        throw new Error("boo");
      },
    };
    const log = openLog();
    log.info("odd", {
      big: 1n,
      none: undefined,
      call: () => 1,
      nan: NaN,
      bytes: new Uint8Array(9),
    });
    log.info("dates", { good: now(), bad: new Date(NaN) });
    log.info("cycle", cycle);
    log.info("trap", trap);
    log.info(
      "wide",
      Array.from({ length: 5_000 }, () => [1]),
    );
    log.close();
    const [odd, dates, round, trapped, wide] = readLines().map(({ data }) => data);
    expect(odd).toEqual({ big: "1", nan: "NaN", bytes: "[9 bytes]" });
    expect(dates).toEqual({ good: ts, bad: "null" });
    expect(JSON.stringify(round)).toContain("[left out]");
    expect(trapped).toBe("[unreadable]");
    expect(JSON.stringify(wide)).toContain("[left out]");
  });

  test("is cut at 16 KB, whatever it is made of, and stays JSON", () => {
    const log = openLog();
    const texts = [
      "x".repeat(40_000),
      "\u001b".repeat(40_000),
      "🦊".repeat(40_000),
      '"'.repeat(40_000),
    ];
    for (const text of texts) {
      log.info(text);
      log.info("short", { text, list: [text] });
      log.info(text, { text });
    }
    log.close();
    const raw = readFileSync(at("daemon.log"));
    const lines = readLines();
    const sizes = raw
      .toString()
      .split("\n")
      .map((line) => Buffer.byteLength(line) + 1);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(16 * 1024);
    // No more is cut than has to be.
    expect(Math.min(...sizes.slice(0, -1))).toBeGreaterThan(16 * 1024 - 32);
    expect(lines).toHaveLength(12);
    for (const [index, line] of lines.entries()) {
      const text = texts[Math.floor(index / 3)] ?? "";
      const cut = index % 3 === 1 ? line["data"] : line["msg"];
      expect(cut).toEndWith("...");
      if (index % 3 === 1) expect(line["msg"]).toBe("short");
      else expect(text).toStartWith(String(line["msg"]).slice(0, 100));
    }
  });
});

describe("secrets", () => {
  const token = "3f".repeat(24);
  const odd = `k"e\\y/ü+é`;

  test("never reach the disk: in messages, data, keys, numbers, URLs, JSON in text, long lines", () => {
    const secrets = ["", token, `${token}-longer`, odd, "8675309"];
    const log = openLog({ secrets: () => secrets, keep: 20 });
    for (const secret of [token, `${token}-longer`, odd]) {
      const forms = [secret, `Bearer ${secret}!`, secret + secret, JSON.stringify({ key: secret })];
      for (const form of forms) {
        log.info(form, { [form]: form, list: [{ deep: { form } }] });
        log.error("failed", new Error(`refused: ${form}`));
      }
      log.info(`http://127.0.0.1/v3/ws?token=${encodeURIComponent(secret)}`);
      // At every distance from the cut.
      for (let length = 15_900; length < 16_300; length++) {
        log.info("x".repeat(length) + secret, { text: secret });
        log.info("long", { text: "x".repeat(length) + secret });
      }
    }
    log.info("number", { phone: 8675309, big: 86753090n, port: 9999 });
    log.close();
    for (const name of readdirSync(place.directory)) {
      const raw = readFileSync(at(name));
      for (const secret of secrets.slice(1)) {
        for (const form of [
          secret,
          JSON.stringify(secret).slice(1, -1),
          encodeURIComponent(secret),
        ]) {
          expect(raw.includes(form)).toBe(false);
        }
      }
    }
    const oldest = readdirSync(place.directory).length - 1;
    expect(oldest).toBeGreaterThan(2);
    expect(readLines(`daemon.log.${oldest}`)[2]).toMatchObject({
      msg: "Bearer [secret]!",
      data: { "Bearer [secret]!": "Bearer [secret]!" },
    });
    const last = readLogTail({ directory: place.directory, lines: 1 });
    expect(last[0]?.data).toEqual({ phone: "[secret]", big: "[secret]", port: 9999 });
  });

  test("a key that is set while the daemon runs is one from then on", () => {
    const secrets: string[] = [];
    const log = openLog({ secrets: () => secrets });
    log.info("nothing to hide");
    secrets.push("hide");
    log.info("nothing to hide");
    log.close();
    expect(readLines().map(({ msg }) => msg)).toEqual(["nothing to hide", "nothing to [secret]"]);
  });

  test("while they cannot be told nothing is written", () => {
    const state = { broken: true };
    const secrets = () => {
      if (state.broken) throw new Error("no settings");
      return [token];
    };
    const log = openLog({ secrets });
    log.info(token);
    state.broken = false;
    log.info("later");
    log.close();
    expect(readLines()).toMatchObject([{ msg: "later", lostLines: 1 }]);
  });
});

describe("the files", () => {
  const lineCount = rounds({ usual: 100_000, promised: 1_000_000 });
  test(
    `${lineCount} lines end in exactly three files of whole lines, the last ones without a gap`,
    () => {
      const log = openLog();
      for (let index = 0; index < lineCount; index++) {
        log.info("token", { index, text: "the quick brown fox jumps over the lazy dog" });
      }
      log.close();
      const names = ["daemon.log", "daemon.log.1", "daemon.log.2"];
      expect(readdirSync(place.directory).toSorted()).toEqual(names);
      const indexes = names
        .toReversed()
        .flatMap((name) => readLines(name))
        .map(({ data }) => (data as { index: number }).index);
      expect(indexes).toEqual(
        Array.from(indexes, (_, index) => lineCount - indexes.length + index),
      );
      const [newest, ...full] = names.map((name) => statSync(at(name)).size);
      const limit = 5 * 1024 * 1024;
      expect(newest).toBeLessThanOrEqual(limit);
      for (const size of full) {
        expect(size).toBeLessThanOrEqual(limit);
        expect(size).toBeGreaterThan(limit - 1024);
      }
    },
    roundsLimitMs(30_000),
  );

  test("are the user's alone, every one, also one that lay open before", () => {
    writeFileSync(at("daemon.log"), "");
    chmodSync(at("daemon.log"), 0o666);
    const log = openLog(small);
    for (let index = 0; index < 100; index++) log.info(`line ${index}`);
    log.close();
    const modes = readdirSync(place.directory).map((name) => statSync(at(name)).mode & 0o7777);
    expect(modes).toEqual([0o600, 0o600, 0o600]);
  });

  test("are continued by the next daemon", () => {
    for (const daemonId of ["daemon_one", "daemon_two"]) {
      const log = openLog({ daemonId });
      log.info("started");
      log.close();
    }
    expect(readLines().map(({ daemonId }) => daemonId)).toEqual(["daemon_one", "daemon_two"]);
  });

  test("a line that a power cut left half is not continued by the next", () => {
    writeFileSync(at("daemon.log"), '{"ts":"2026-');
    const log = openLog();
    log.info("started");
    log.close();
    const [torn, line] = readFileSync(at("daemon.log"), "utf8").split("\n");
    expect(torn).toBe('{"ts":"2026-');
    expect(JSON.parse(line ?? "")).toMatchObject({ msg: "started" });
  });

  test("one that somebody removed is made again", () => {
    const log = openLog();
    log.info("one");
    unlinkSync(at("daemon.log"));
    log.info("two");
    log.close();
    expect(readLines()).toMatchObject([{ msg: "two" }]);
  });

  test("a symbolic link in their place is not followed", () => {
    writeFileSync(at("precious"), "");
    symlinkSync("precious", at("daemon.log"));
    const log = openLog();
    log.info("one");
    log.close();
    expect(readFileSync(at("precious"), "utf8")).toBe("");
  });

  test("one that cannot be renamed grows on, to twice its size at most", () => {
    const log = openLog(small);
    mkdirSync(at("daemon.log.2/in-the-way"), { recursive: true });
    for (let index = 0; index < 100; index++) log.info(`line ${index}`);
    const { size } = statSync(at("daemon.log"));
    expect(size).toBeGreaterThan(1_900);
    expect(size).toBeLessThanOrEqual(2_000);
    const before = readLines().length;
    const rotated = readLines("daemon.log.1").length;
    rmSync(at("daemon.log.2"), { recursive: true });
    log.info("last");
    log.close();
    expect(readLines()).toMatchObject([{ msg: "last", lostLines: 100 - before - rotated }]);
    expect(readLines("daemon.log.1")).toHaveLength(before);
  });
});

describe("a log that cannot be written", () => {
  test("loses lines, never throws, and says how many once it works again", () => {
    const directory = at("later");
    const log = openLog({ path: join(directory, "daemon.log") });
    log.info("lost");
    log.error("lost too", { any: "thing" });
    mkdirSync(directory);
    log.info("first");
    log.info("second");
    log.close();
    log.info("after the end");
    const lines = readLogTail({ directory, lines: 10 });
    expect(lines).toEqual([
      { ts, level: "info", msg: "first", lostLines: 2 },
      { ts, level: "info", msg: "second" },
    ]);
  });

  const canMount = process.platform === "linux" && process.geteuid?.() === 0;
  const note = canMount ? "" : "(not run: only root can mount a small disk)";
  test.skipIf(!canMount)(`on a full disk leaves no half line ${note}`, async () => {
    const disk = at("disk");
    mkdirSync(disk);
    await Bun.$`mount -t tmpfs -o size=256k none ${disk}`;
    try {
      const log = openLog({ path: join(disk, "daemon.log") });
      log.info("before");
      writeFileSync(join(disk, "ballast"), Buffer.alloc(200_000));
      const text = "x".repeat(1_000);
      for (let index = 0; index < 200; index++) log.info(text);
      const full = readFileSync(join(disk, "daemon.log"), "utf8");
      expect(full).toEndWith("}\n");
      unlinkSync(join(disk, "ballast"));
      log.info("after");
      log.close();
      const lines = readLogTail({ directory: disk, lines: 1_000 });
      const lostLines = 202 - lines.length;
      expect(lostLines).toBeGreaterThan(100);
      expect(lines.at(0)).toMatchObject({ msg: "before" });
      expect(lines.at(-1)).toMatchObject({ msg: "after", lostLines });
      const raw = readFileSync(join(disk, "daemon.log"), "utf8").trimEnd().split("\n");
      expect(raw).toHaveLength(lines.length);
    } finally {
      await Bun.$`umount ${disk}`;
    }
  });
});

describe("the tail", () => {
  const tail = (lines: number) =>
    readLogTail({ directory: place.directory, lines }).map(({ msg }) => msg);
  const messages = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, index) => `line ${from + index}`);

  test("is the last entries over all files, oldest first", () => {
    const log = openLog(small);
    for (let index = 0; index < 100; index++) log.warn(`line ${index}`, { index });
    log.close();
    const kept = readdirSync(place.directory).flatMap((name) => readLines(name)).length;
    expect(kept).toBeGreaterThan(15);
    for (const lines of [1, 5, 12, kept]) expect(tail(lines)).toEqual(messages(100 - lines, 100));
    expect(tail(1_000)).toEqual(messages(100 - kept, 100));
    expect(tail(0)).toEqual([]);
    expect(readLogTail({ directory: place.directory, lines: 1 })).toEqual([
      { ts, level: "warn", msg: "line 99", data: { index: 99 } },
    ]);
  });

  test("is the same wherever the blocks of the reading fall", () => {
    const log = openLog();
    const expected: string[] = [];
    for (let index = 0; index < 300; index++) {
      const message = `${index}${"ü🦊".repeat((index * 7) % 900)}`;
      expected.push(message);
      log.info(message);
    }
    log.close();
    expect(statSync(at("daemon.log")).size).toBeGreaterThan(600_000);
    expect(tail(300)).toEqual(expected);
  });

  test("skips what is no entry, however long", () => {
    const good = (msg: string) => JSON.stringify({ ts, level: "info", msg });
    const bad = ["", "no json", "{}", '{"ts":1}', "x".repeat(300_000), '{"half":'];
    writeFileSync(
      at("daemon.log"),
      [...bad, good("one"), ...bad, good("two"), ...bad, good("three"), ...bad].join("\n"),
    );
    expect(tail(3)).toEqual(["one", "two", "three"]);
    expect(tail(2)).toEqual(["two", "three"]);
  });

  test("of no log is empty", () => {
    expect(tail(10)).toEqual([]);
    expect(readLogTail({ directory: at("missing"), lines: 10 })).toEqual([]);
  });

  test("of 15 MB is read without reading 15 MB", () => {
    const line = `${JSON.stringify({ ts, level: "info", msg: "m", data: "x".repeat(900) })}\n`;
    for (const name of ["daemon.log.2", "daemon.log.1", "daemon.log"]) {
      writeFileSync(at(name), line.repeat(5_000));
    }
    const costMs = (lines: number) => {
      const startedMs = performance.now();
      for (let round = 0; round < 10; round++) expect(tail(lines)).toHaveLength(lines);
      return performance.now() - startedMs;
    };
    costMs(10);
    // Reading it all would cost the same for both.
    expect(costMs(10) * 10).toBeLessThan(costMs(10_000));
  });
});

describe("following", () => {
  test("tells what is written from then on, across rotations, each line once", async () => {
    const log = openLog(small);
    log.info("before");
    const following = follow();
    for (let index = 0; index < 100; index++) {
      log.info(`line ${index}`);
      if (index % 20 === 0) await following.reach(index + 1);
    }
    await following.reach(100);
    await following.end();
    log.close();
    expect(following.seen.map(({ msg }) => msg)).toEqual(
      Array.from({ length: 100 }, (_, index) => `line ${index}`),
    );
  });

  test("goes through the files that came between two looks in their order", async () => {
    const log = openLog(small);
    log.info("before");
    const following = follow();
    // Fills two files and begins a third before the follower has had a turn.
    for (let index = 0; index < 25; index++) log.info(`line ${index}`);
    expect(readdirSync(place.directory)).toHaveLength(3);
    await following.reach(25);
    await following.end();
    log.close();
    expect(following.seen.map(({ msg }) => msg)).toEqual(
      Array.from({ length: 25 }, (_, index) => `line ${index}`),
    );
  });

  test("waits for a log that is not there yet, and does not tell old files", async () => {
    writeFileSync(at("daemon.log.1"), `${JSON.stringify({ ts, level: "info", msg: "old" })}\n`);
    const following = follow();
    await Bun.sleep(50);
    const log = openLog();
    log.info("new");
    await following.reach(1);
    await following.end();
    log.close();
    expect(following.seen).toEqual([{ ts, level: "info", msg: "new" }]);
  });

  test("goes on after the log was emptied, or removed and made again", async () => {
    writeFileSync(at("daemon.log.1"), `${JSON.stringify({ ts, level: "info", msg: "old" })}\n`);
    const log = openLog();
    log.info("a line that is longer than the next");
    const following = follow();
    truncateSync(at("daemon.log"));
    log.info("emptied");
    await following.reach(1);
    unlinkSync(at("daemon.log"));
    log.info("removed");
    await following.reach(2);
    await following.end();
    log.close();
    expect(following.seen.map(({ msg }) => msg)).toEqual(["emptied", "removed"]);
  });

  test("tells a line when it is whole", async () => {
    writeFileSync(at("daemon.log"), "");
    const following = follow();
    const line = JSON.stringify({ ts, level: "info", msg: "whole" });
    appendFileSync(at("daemon.log"), line.slice(0, 20));
    await Bun.sleep(300);
    appendFileSync(at("daemon.log"), `${line.slice(20)}\nno json\n`);
    await following.reach(1);
    renameSync(at("daemon.log"), at("daemon.log.1"));
    await following.end();
    expect(following.seen.map(({ msg }) => msg)).toEqual(["whole"]);
  });

  test("ends at once when it is called off, before or meanwhile", async () => {
    expect(await Array.fromAsync(followLog(at("daemon.log"), AbortSignal.abort()))).toEqual([]);
    const startedMs = performance.now();
    for (let round = 0; round < 20; round++) {
      const following = follow();
      await Bun.sleep(10);
      await following.end();
    }
    // It looks every 200 ms: none is waited for.
    expect(performance.now() - startedMs).toBeLessThan(20 * 100);
  });
});

/** A follower that collects; `reach` waits until it has seen `count` entries. */
function follow() {
  const seen: LogEntry[] = [];
  const stop = new AbortController();
  const entries = followLog(at("daemon.log"), stop.signal);
  const done = (async () => {
    for await (const entry of entries) seen.push(entry);
  })();
  return {
    seen,
    async reach(count: number) {
      const untilMs = performance.now() + 5_000;
      while (seen.length < count) {
        if (performance.now() > untilMs) throw new Error(`saw ${seen.length} of ${count} entries`);
        await Bun.sleep(5);
      }
    },
    end() {
      stop.abort();
      return done;
    },
  };
}
