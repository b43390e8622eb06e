import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stageFile, writeFileAtomic } from "../../src/base/atomic-file.ts";
import { StorageError } from "../../src/base/storage-error.ts";
import { toOptaError } from "../../src/protocol/error.ts";

const place = { directory: "" };
const at = (name: string) => join(place.directory, name);
const names = () => readdirSync(place.directory).toSorted();
const modeOf = (name: string) => statSync(at(name)).mode & 0o7777;

beforeEach(() => {
  place.directory = realpathSync(mkdtempSync(join(tmpdir(), "opta-atomic-")));
});
afterEach(() => rmSync(place.directory, { recursive: true, force: true }));

test("a new file gets the asked mode from its creation, and nothing else is left", async () => {
  await writeFileAtomic(at("a.json"), "new", { mode: 0o600 });
  expect(readFileSync(at("a.json"), "utf8")).toBe("new");
  expect(modeOf("a.json")).toBe(0o600);
  expect(names()).toEqual(["a.json"]);
});

test("without a mode a new file has 0666 less umask, as every program's", async () => {
  await writeFileAtomic(at("ours"), "x");
  writeFileSync(at("theirs"), "x");
  expect(modeOf("ours")).toBe(modeOf("theirs"));
});

for (const mode of [0o400, 0o600, 0o640, 0o664, 0o755, 0o777, 0o2755, 0o4755]) {
  test(`an existing file keeps its mode 0${mode.toString(8)}`, async () => {
    writeFileSync(at("a"), "old");
    chmodSync(at("a"), mode);
    await writeFileAtomic(at("a"), "new");
    expect(readFileSync(at("a"), "utf8")).toBe("new");
    expect(modeOf("a")).toBe(mode);
  });
}

test("an asked mode wins over the one the file had", async () => {
  writeFileSync(at("a"), "old");
  chmodSync(at("a"), 0o664);
  await writeFileAtomic(at("a"), "new", { mode: 0o600 });
  expect(modeOf("a")).toBe(0o600);
});

test("the returned size and time are those of the file in place", async () => {
  const written = await writeFileAtomic(at("a"), "four");
  const stat = statSync(at("a"), { bigint: true });
  expect(written).toEqual({ sizeBytes: 4, modifiedNs: stat.mtimeNs });
});

test("a symbolic link stays and the file it leads to is replaced, over several links", async () => {
  mkdirSync(at("sub"));
  writeFileSync(at("sub/real"), "old");
  symlinkSync("sub/real", at("inner"));
  symlinkSync(at("inner"), at("outer"));
  await writeFileAtomic(at("outer"), "new");
  expect(readFileSync(at("sub/real"), "utf8")).toBe("new");
  expect(readlinkSync(at("outer"))).toBe(at("inner"));
  expect(readlinkSync(at("inner"))).toBe("sub/real");
  expect(lstatSync(at("sub/real")).isFile()).toBe(true);
  expect(readdirSync(at("sub"))).toEqual(["real"]);
});

test("a dangling link gets its target", async () => {
  symlinkSync("missing", at("link"));
  await writeFileAtomic(at("link"), "new");
  expect(readFileSync(at("missing"), "utf8")).toBe("new");
  expect(lstatSync(at("link")).isSymbolicLink()).toBe(true);
});

test("a loop of links is an error, not a hang", async () => {
  symlinkSync("b", at("a"));
  symlinkSync("a", at("b"));
  await expect(writeFileAtomic(at("a"), "new")).rejects.toThrow("cannot write");
});

test("with links refused, a link at the path or in a directory of it stops the write", async () => {
  mkdirSync(at("real"));
  writeFileSync(at("real/file"), "old");
  symlinkSync("real", at("linked"));
  symlinkSync("real/file", at("link"));
  for (const path of ["link", "linked/file"]) {
    await expect(writeFileAtomic(at(path), "new", { links: "refuse" })).rejects.toBeInstanceOf(
      StorageError,
    );
  }
  expect(readFileSync(at("real/file"), "utf8")).toBe("old");
  expect(readdirSync(at("real"))).toEqual(["file"]);
});

test("a directory that is swapped for a link after staging does not lead the write elsewhere", () => {
  mkdirSync(at("judged"));
  mkdirSync(at("elsewhere"));
  writeFileSync(at("judged/file"), "old");
  writeFileSync(at("elsewhere/file"), "precious");
  const staged = stageFile(at("judged/file"), "new", { links: "refuse" });
  renameSync(at("judged"), at("moved"));
  symlinkSync("elsewhere", at("judged"));
  expect(() => staged.commit()).toThrow("has moved or become a symbolic link");
  expect(readFileSync(at("elsewhere/file"), "utf8")).toBe("precious");
  expect(readFileSync(at("moved/file"), "utf8")).toBe("old");
  expect(readdirSync(at("moved"))).toEqual(["file"]);
});

test("a check that throws before the rename leaves the old file alone and its error as it is", async () => {
  writeFileSync(at("a"), "old");
  const reason = new Error("changed meanwhile");
  const beforeRename = () => {
    throw reason;
  };
  await expect(writeFileAtomic(at("a"), "new", { beforeRename })).rejects.toBe(reason);
  expect(readFileSync(at("a"), "utf8")).toBe("old");
  expect(names()).toEqual(["a"]);
});

test("a discarded file leaves nothing", () => {
  stageFile(at("a"), "new").discard();
  expect(names()).toEqual([]);
});

test("a directory, and a path in a directory that is missing, are refused in words", async () => {
  mkdirSync(at("dir"));
  await expect(writeFileAtomic(at("dir"), "x")).rejects.toThrow("it is not a regular file");
  await expect(writeFileAtomic(at("no/file"), "x")).rejects.toThrow("the directory does not exist");
  expect(names()).toEqual(["dir"]);
});

test("a full disk is storage-full with what to do, also as the error a user sees", async () => {
  const run = async () => {
    try {
      // The device that is always full; as a file's content it cannot be staged, so by the error's shape.
      writeFileSync("/dev/full", "x");
      return undefined;
    } catch (error) {
      return error;
    }
  };
  const beforeRename = () => {
    throw full;
  };
  const full = await run();
  const error = await writeFileAtomic(at("a"), "x", { beforeRename }).catch(toOptaError);
  expect(error).toMatchObject({ name: "OptaError", code: "storage-full" });
  expect(error).toHaveProperty("hint", "free some space (df -h shows where), then try again");
  expect(names()).toEqual([]);
});

test("temporary files of dead processes are swept by the next write; of living ones they stay", async () => {
  const dead = Bun.spawn(["true"]);
  await dead.exited;
  const stale = `.${dead.pid}-abcdefghijkl.opta-tmp`;
  const predecessor = `.${process.pid}-abcdefghijkl.opta-tmp`;
  const living = `.${process.ppid}-abcdefghijkl.opta-tmp`;
  const others = [".notes.opta-tmp", "a.tmp", ".12-short.opta-tmp"];
  for (const name of [stale, predecessor, living, ...others]) writeFileSync(at(name), "");
  const waiting = stageFile(at("b"), "b");
  await writeFileAtomic(at("a"), "a");
  waiting.commit();
  expect(names()).toEqual(["a", "b", living, ...others].toSorted());
});

test("two hundred writes at once each leave one whole content", async () => {
  const contents = Array.from({ length: 200 }, (_, index) => `${index}\n`.repeat(500));
  await Promise.all(contents.map((content) => writeFileAtomic(at("a"), content)));
  expect(contents).toContain(readFileSync(at("a"), "utf8"));
  expect(names()).toEqual(["a"]);
});

const asRoot = process.geteuid?.() === 0 ? test : undefined;
asRoot?.("the owner is kept, and a set-user-id bit with it", async () => {
  writeFileSync(at("a"), "old");
  const { chownSync } = await import("node:fs");
  chownSync(at("a"), 65534, 65534);
  chmodSync(at("a"), 0o4751);
  await writeFileAtomic(at("a"), "new");
  const stat = statSync(at("a"));
  expect([stat.uid, stat.gid, stat.mode & 0o7777]).toEqual([65534, 65534, 0o4751]);
});
