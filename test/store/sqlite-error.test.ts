import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OptaError, toOptaError } from "../../src/protocol/error.ts";
import { isDatabaseCorrupt, isDatabaseFull, storing } from "../../src/store/sqlite-error.ts";

/** What SQLite itself throws. */
function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (thrown) {
    return thrown;
  }
  throw new Error("nothing was thrown");
}

function fillDatabase(): void {
  using database = new Database(":memory:");
  database.run("PRAGMA max_page_count = 2");
  database.run("CREATE TABLE texts (text TEXT)");
  database.run("INSERT INTO texts VALUES (?)", ["x".repeat(100_000)]);
}

function openText(): void {
  const directory = mkdtempSync(join(tmpdir(), "opta-sqlite-error-"));
  try {
    const path = join(directory, "events.db");
    writeFileSync(path, "no database at all, but long enough for a header".repeat(20));
    using database = new Database(path);
    database.run("SELECT * FROM sqlite_master");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const told = (work: () => unknown) => {
  const { code, message, hint } = toOptaError(thrownBy(() => storing("store an event", work)));
  return { code, message, hint };
};

describe("what fails while storing", () => {
  const fullDisk = {
    code: "storage-full",
    message: "cannot store an event: the disk is full",
    hint: "free some space (df -h shows where), then try again",
  } as const;

  test("is a full disk, in the same words, whether SQLite or a system call found it", () => {
    const systemCall = () => {
      throw Object.assign(new Error("write"), { code: "ENOSPC" });
    };
    expect(told(fillDatabase)).toEqual(fullDisk);
    expect(told(systemCall)).toEqual(fullDisk);
  });

  test("is storage-failed with SQLite's reason for all else of SQLite", () => {
    expect(told(openText)).toEqual({
      code: "storage-failed",
      message: "cannot store an event: file is not a database",
      hint: undefined,
    });
  });

  test("keeps its own code where it is a caller's error, and stays a defect where it is one", () => {
    const conflict = () => {
      throw new OptaError("state-conflict", "no", "yes");
    };
    expect(told(conflict)).toEqual({ code: "state-conflict", message: "no", hint: "yes" });
    expect(told(() => Buffer.alloc(-1)).code).toBe("internal");
  });
});

test("a full and a broken database are told apart", () => {
  const full = thrownBy(fillDatabase);
  const broken = thrownBy(openText);
  expect([isDatabaseFull(full), isDatabaseCorrupt(full)]).toEqual([true, false]);
  expect([isDatabaseFull(broken), isDatabaseCorrupt(broken)]).toEqual([false, true]);
  expect([isDatabaseFull(new Error("x")), isDatabaseCorrupt(undefined)]).toEqual([false, false]);
});
