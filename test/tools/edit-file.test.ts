import { afterEach, beforeEach, expect, test } from "bun:test";
import { linkSync, readdirSync, readFileSync, renameSync, symlinkSync, utimesSync } from "node:fs";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createEditFileTool } from "../../src/tools/edit-file.ts";
import { createReadFileTool } from "../../src/tools/read-file.ts";
import { createToolPlace, type ToolPlace } from "../support/tool-place.ts";

const tool = createEditFileTool();
const held: { place: ToolPlace } = { place: createToolPlace() };
beforeEach(() => {
  held.place[Symbol.dispose]();
  held.place = createToolPlace();
});
afterEach(() => held.place[Symbol.dispose]());
const edit = (old_text: string, new_text: string, more: object = {}) =>
  held.place.run(tool, { path: "a.txt", old_text, new_text, ...more });
const readIt = (path = "a.txt") => held.place.run(createReadFileTool(), { path });

test("a file is edited and the result names file, count and line", async () => {
  held.place.write("a.txt", "one\ntwo\n");
  expect(await edit("two", "2")).toEqual({
    ok: true,
    text: "edited a.txt: 1 replacement at line 2",
  });
  expect(held.place.read("a.txt")).toBe("one\n2\n");
});

test("replace_all says how many and where", async () => {
  held.place.write("a.txt", "x\nx\nx\n");
  const result = await edit("x", "y", { replace_all: true });
  expect(result.text).toBe("edited a.txt: 3 replacements at lines 1, 2, 3");
});

test("edits in a row need no reading in between", async () => {
  held.place.write("a.txt", "one\ntwo\n");
  await readIt();
  expect((await edit("one", "1")).ok).toBe(true);
  expect((await edit("two", "2")).ok).toBe(true);
  expect(held.place.read("a.txt")).toBe("1\n2\n");
});

test("a file that changed since it was read is refused and left alone", async () => {
  held.place.write("a.txt", "one\n");
  await readIt();
  held.place.write("a.txt", "one\nmore by the user\n");
  expect(await edit("one", "1")).toEqual({
    ok: false,
    text: "a.txt changed since you read it; read_file it again",
  });
  expect(held.place.read("a.txt")).toBe("one\nmore by the user\n");
  await readIt();
  expect((await edit("one", "1")).ok).toBe(true);
});

test("a change of equal size within one clock tick is noticed; a mere touch is none", async () => {
  const path = held.place.write("a.txt", "one\n");
  const time = new Date(1_700_000_000_000);
  utimesSync(path, time, time);
  await readIt();
  held.place.write("a.txt", "two\n");
  utimesSync(path, time, time);
  expect((await edit("two", "x")).ok).toBe(false);
  held.place.write("a.txt", "one\n");
  expect((await edit("one", "1")).ok).toBe(true);
});

test("a file that was never read is edited when the match is exact, and only then", async () => {
  held.place.write("a.txt", "  alpha(1);\n");
  const loose = await edit("\talpha(1);", "\tbeta();");
  expect(loose.text).toContain("read_file it first");
  await readIt();
  const result = await edit("\talpha(1);", "\tbeta();");
  expect(result.text).toContain("matched ignoring whitespace");
  expect(held.place.read("a.txt")).toBe("  beta();\n");
});

test("a missing file, an empty old text and an unchanged text say what to do", async () => {
  expect((await edit("a", "b")).text).toBe("a.txt does not exist; to create it use write_file");
  held.place.write("a.txt", "");
  expect((await edit("", "b")).text).toContain("use write_file");
  held.place.write("a.txt", "a");
  expect((await edit("a", "a")).text).toContain("are the same");
});

test("a link is edited at its target and stays a link", async () => {
  held.place.write("real/file.txt", "old");
  symlinkSync("real/file.txt", held.place.at("a.txt"));
  const result = await edit("old", "new");
  expect(result).toEqual({ ok: true, text: "edited real/file.txt: 1 replacement at line 1" });
  expect(held.place.read("real/file.txt")).toBe("new");
  expect(
    readdirSync(held.place.workspace, { withFileTypes: true }).filter((e) => e.isSymbolicLink())
      .length,
  ).toBe(1);
});

test("hard links are noted", async () => {
  linkSync(held.place.write("a.txt", "old"), held.place.at("b.txt"));
  const result = await edit("old", "new");
  expect(result.text).toEndWith("it had 2 hard links, the other names keep the old content");
  expect([held.place.read("a.txt"), held.place.read("b.txt")]).toEqual(["new", "old"]);
});

test("a preview is a unified diff and touches nothing", async () => {
  held.place.write("a.txt", "one\ntwo\nthree\n");
  const args = { path: "a.txt", old_text: "two", new_text: "2" };
  const preview = await tool.preview?.(args, held.place);
  expect(preview?.ok).toBe(true);
  expect(preview?.text).toBe("--- a.txt\n+++ a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n");
  expect(held.place.read("a.txt")).toBe("one\ntwo\nthree\n");
  const failing = await tool.preview?.({ ...args, old_text: "zwei" }, held.place);
  expect(failing?.ok).toBe(false);
  expect(failing?.text).toStartWith("a.txt: old_text was not found");
});

test("after a cancel nothing is done", async () => {
  held.place.write("a.txt", "old");
  const context = held.place.context({ signal: AbortSignal.abort() });
  const result = await tool.run({ path: "a.txt", old_text: "old", new_text: "new" }, context);
  expect(result).toEqual({ ok: false, text: "cancelled by the user; nothing was done" });
  expect(held.place.read("a.txt")).toBe("old");
});

test("a path that leads elsewhere than when it was judged is refused", async () => {
  const { place } = held;
  place.write("dir/a.txt", "old");
  const victim = place.write(join(place.outside, "a.txt"), "old");
  const args = { path: "dir/a.txt", old_text: "old", new_text: "new" };
  const result = await place.runAfter(tool, args, () => {
    renameSync(place.at("dir"), place.at("away"));
    symlinkSync(place.outside, place.at("dir"));
  });
  expect(result.ok).toBe(false);
  expect(result.text).toContain("not where it led when this was permitted");
  expect(readFileSync(victim, "utf8")).toBe("old");
});

test("a thousand swaps of a directory for a link while editing never touch a file outside", async () => {
  const { place } = held;
  const victim = place.write(join(place.outside, "a.txt"), "start");
  place.write("real/a.txt", "start");
  mkdirSync(place.at("dir"));
  place.write("dir/a.txt", "start");
  symlinkSync(place.outside, place.at("link"));
  const script = `
    const { renameSync } = require("node:fs");
    process.chdir(${JSON.stringify(place.workspace)});
    process.stdout.write("ready");
    for (;;) {
      // Long enough in place for some edits to get through, whatever the machine.
      Bun.sleepSync(Math.random() * 3);
      renameSync("dir", "saved"); renameSync("link", "dir");
      renameSync("dir", "link"); renameSync("saved", "dir");
    }`;
  const swapper = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "ignore" });
  try {
    await swapper.stdout.getReader().read();
    const outcomes = { edited: 0, refused: 0 };
    for (let round = 0; round < 1000; round += 1) {
      const args = { path: "dir/a.txt", old_text: "start", new_text: "start" + (round % 2) };
      // Judged inside: the policy would refuse a path that leads outside at that moment.
      const context = place.context({ effects: [{ kind: "write", path: place.at("dir/a.txt") }] });
      const result = await tool.run(args, context);
      outcomes[result.ok ? "edited" : "refused"] += 1;
      if (result.ok) place.files.clear();
    }
    expect(readFileSync(victim, "utf8")).toBe("start");
    expect(readdirSync(place.outside)).toEqual(["a.txt"]);
    expect(outcomes.edited).toBeGreaterThan(0);
    expect(outcomes.refused).toBeGreaterThan(0);
  } finally {
    swapper.kill("SIGKILL");
    await swapper.exited;
    rmSync(place.at("saved"), { recursive: true, force: true });
  }
}, 60_000);

test("five hundred edits against a racing writer lose next to none of its writes", async () => {
  const { place } = held;
  const path = place.write("a.txt", "racer 0\neditor 0\n");
  // No system call we have can compare and swap, so the instant between the last look and the rename stays:
  // 0 to 4 of 500 here, against 20 to 45 without the look. The racer replaces the file by rename, as editors do, and looks before its next write whether the last
  // one is still there, edited or not.
  const script = `
    const { readFileSync, renameSync, writeFileSync } = require("node:fs");
    const path = ${JSON.stringify(path)};
    process.stdout.write("ready");
    for (let round = 1; ; round += 1) {
      writeFileSync(path + ".racer", "racer " + round + "\\neditor 0\\n");
      renameSync(path + ".racer", path);
      Bun.sleepSync(Math.random() * 2);
      const found = readFileSync(path, "utf8");
      if (!found.startsWith("racer " + round + "\\n")) process.stdout.write(" lost:" + round);
    }`;
  const racer = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
  const reader = racer.stdout.getReader();
  const outcomes = { edited: 0, refused: 0 };
  try {
    await reader.read();
    for (let round = 1; round <= 500; round += 1) {
      const result = await edit("editor 0", `editor ${round}`);
      outcomes[result.ok ? "edited" : "refused"] += 1;
      place.files.clear();
    }
  } finally {
    racer.kill("SIGKILL");
    await racer.exited;
  }
  const rest = await reader.read();
  const lost = new TextDecoder().decode(rest.value).match(/lost/g) ?? [];
  expect(lost.length).toBeLessThan(13);
  expect(outcomes.edited).toBeGreaterThan(0);
  expect(outcomes.refused).toBeGreaterThan(0);
}, 60_000);
