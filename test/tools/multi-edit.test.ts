import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { readContent } from "../../src/tools/file-content.ts";
import { createMultiEditTool } from "../../src/tools/multi-edit.ts";
import { commitWrites, type PlannedWrite } from "../../src/tools/planned-write.ts";
import type { FileLedger } from "../../src/tools/tool.ts";
import { createToolPlace, type ToolPlace } from "../support/tool-place.ts";

const tool = createMultiEditTool();
const held: { place: ToolPlace } = { place: createToolPlace() };
beforeEach(() => {
  held.place[Symbol.dispose]();
  held.place = createToolPlace();
  for (const name of ["a.txt", "b.txt", "c.txt"]) held.place.write(name, `${name} one\ntwo\n`);
});
afterEach(() => held.place[Symbol.dispose]());
const step = (path: string, old_text: string, new_text: string) => ({ path, old_text, new_text });
const run = (...edits: object[]) => held.place.run(tool, { edits });
const all = () => ["a.txt", "b.txt", "c.txt"].map((name) => held.place.read(name));
const untouched = ["a.txt one\ntwo\n", "b.txt one\ntwo\n", "c.txt one\ntwo\n"];

test("edits of several files are made, those of one file in their order", async () => {
  const result = await run(
    step("a.txt", "one", "1"),
    step("b.txt", "two", "2"),
    step("a.txt", "1", "uno"),
  );
  expect(result).toEqual({
    ok: true,
    text: "edited a.txt: 1 replacement at line 1; 1 replacement at line 1\nedited b.txt: 1 replacement at line 2",
  });
  expect(all()).toEqual(["a.txt uno\ntwo\n", "b.txt one\n2\n", "c.txt one\ntwo\n"]);
});

test("when one edit does not fit, none is made and the result says which", async () => {
  const result = await run(
    step("a.txt", "one", "1"),
    step("b.txt", "two", "2"),
    step("b.txt", "three", "3"),
  );
  expect(result.ok).toBe(false);
  expect(result.text).toStartWith("edit 2 of 2, b.txt: old_text was not found");
  expect(all()).toEqual(untouched);
});

test("one file under two names is one file", async () => {
  symlinkSync("a.txt", held.place.at("link"));
  const result = await run(step("link", "one", "1"), step("./a.txt", "two", "2"));
  expect(result.text).toStartWith("edited a.txt: ");
  expect(held.place.read("a.txt")).toBe("a.txt 1\n2\n");
  const effects = await tool.effects(
    { edits: [step("link", "x", "y"), step("a.txt", "x", "y"), step("b.txt", "x", "y")] },
    held.place.workspace,
  );
  expect(effects).toEqual([
    { kind: "write", path: held.place.at("a.txt") },
    { kind: "write", path: held.place.at("b.txt") },
  ]);
});

test("a write-protected file among them stops all", async () => {
  chmodSync(held.place.at("b.txt"), 0o444);
  const result = await run(step("a.txt", "one", "1"), step("b.txt", "one", "1"));
  expect(result).toEqual({
    ok: false,
    text: "b.txt is write-protected (mode 0444); nothing was changed",
  });
  expect(all()).toEqual(untouched);
});

/** Three writes, the last of which finds its file changed. */
function plan(): PlannedWrite[] {
  return ["a.txt", "b.txt", "c.txt"].map((shown) => {
    const file = { path: held.place.at(shown), shown };
    return { file, before: readContent(file), after: Buffer.from("changed"), summary: "" };
  });
}

test("a file that was changed by somebody else meanwhile stops all before the first rename", () => {
  const writes = plan();
  held.place.write("c.txt", "by somebody else");
  expect(() => commitWrites(writes, held.place.files)).toThrow(
    "c.txt was changed by somebody else",
  );
  expect(all()).toEqual([...untouched.slice(0, 2), "by somebody else"]);
  expect(readdirSync(held.place.workspace).toSorted()).toEqual(["a.txt", "b.txt", "c.txt"]);
});

test("whatever somebody else does to a file after the edit was computed, five hundred times, it stays", () => {
  const { place } = held;
  const path = place.at("a.txt");
  const acts = {
    "a write of the same length": () => place.write("a.txt", "A.TXT ONE\nTWO\n"),
    "a replacement by rename": () => renameSync(place.write("other", "theirs"), path),
    "a deletion": () => rmSync(path),
    "a directory": () => {
      rmSync(path);
      mkdirSync(path);
    },
    "a link": () => {
      rmSync(path);
      symlinkSync("b.txt", path);
    },
  };
  for (let round = 0; round < 100; round += 1) {
    for (const [what, act] of Object.entries(acts)) {
      rmSync(path, { recursive: true, force: true });
      place.write("a.txt", String(untouched[0]));
      const [write] = plan();
      const time = statSync(path).mtime;
      act();
      if (what.startsWith("a write")) utimesSync(path, time, time);
      const left = lstatSync(path, { throwIfNoEntry: false, bigint: true })?.ino;
      expect(() => commitWrites(write ? [write] : [], place.files), what).toThrow();
      expect(lstatSync(path, { throwIfNoEntry: false, bigint: true })?.ino, what).toEqual(left);
    }
  }
  expect(readdirSync(place.workspace).toSorted()).toEqual(["a.txt", "b.txt", "c.txt"]);
  expect(place.read("b.txt")).toBe(String(untouched[1]));
});

/** Does something after the rename of b.txt, the moment it is told of it. */
function ledgerThat(act: () => void): FileLedger {
  const ledger: FileLedger = new Map();
  const set = ledger.set.bind(ledger);
  const turn = { isTaken: false };
  return Object.assign(ledger, {
    set: (...entry: Parameters<typeof set>) => {
      if (entry[0] === held.place.at("b.txt") && !turn.isTaken) {
        turn.isTaken = true;
        act();
      }
      return set(...entry);
    },
  });
}

test("a failure between two renames puts back what was done, with its mode", () => {
  chmodSync(held.place.at("a.txt"), 0o751);
  const writes = plan();
  const changeNext = ledgerThat(() => held.place.write("c.txt", "by somebody else"));
  expect(() => commitWrites(writes, changeNext)).toThrow("nothing was changed");
  expect(all()).toEqual([...untouched.slice(0, 2), "by somebody else"]);
  expect(readdirSync(held.place.workspace).toSorted()).toEqual(["a.txt", "b.txt", "c.txt"]);
});

test("what cannot be put back is named", () => {
  const writes = plan();
  const ledger = ledgerThat(() => {
    rmSync(held.place.at("a.txt"));
    mkdirSync(held.place.at("a.txt"));
    held.place.write("c.txt", "by somebody else");
  });
  expect(() => commitWrites(writes, ledger)).toThrow("stay changed: a.txt");
  expect(held.place.read("b.txt")).toBe(String(untouched[1]));
});

test("a preview shows the diff of every file", async () => {
  const edits = [step("a.txt", "one", "1"), step("b.txt", "one", "1")];
  const preview = await tool.preview?.({ edits }, held.place);
  expect(preview?.text).toContain("+a.txt 1\n");
  expect(preview?.text).toContain("+b.txt 1\n");
  expect(all()).toEqual(untouched);
  const thereAndBack = [step("a.txt", "one", "1"), step("a.txt", "1", "one")];
  expect(await tool.preview?.({ edits: thereAndBack }, held.place)).toEqual({
    ok: false,
    text: "a.txt already has exactly this content",
  });
});
