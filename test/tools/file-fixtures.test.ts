// Promises F2 as a table: what an edit finds, and that everything but the edited span is as it was.
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { createEditFileTool } from "../../src/tools/edit-file.ts";
import { createToolPlace, type ToolPlace } from "../support/tool-place.ts";

const held: { place: ToolPlace } = { place: createToolPlace() };
beforeEach(() => {
  held.place[Symbol.dispose]();
  held.place = createToolPlace();
});
afterEach(() => held.place[Symbol.dispose]());

/** One character per byte, so that every byte can be written down. */
const latin1 = (text: string) => Buffer.from(text, "latin1");
const mark = "\xEF\xBB\xBF";
const edit = (old_text: string, new_text: string) =>
  held.place.run(createEditFileTool(), { path: "file", old_text, new_text });

/** name, bytes before, old text, new text, bytes after */
const edited: readonly (readonly [string, string, string, string, string])[] = [
  ["LF", "a\nold\nb\n", "old", "new", "a\nnew\nb\n"],
  ["LF without a final line end", "a\nold", "old", "new", "a\nnew"],
  ["CRLF", "a\r\nold\r\nb\r\n", "old", "new", "a\r\nnew\r\nb\r\n"],
  ["CRLF without a final line end", "a\r\nold", "old", "new\nline", "a\r\nnew\r\nline"],
  ["CRLF, old text over lines", "a\r\nold\r\nb\r\n", "a\nold\n", "x\ny\n", "x\r\ny\r\nb\r\n"],
  ["CRLF, old text with CRLF", "a\r\nold\r\nb\r\n", "a\r\nold", "x", "x\r\nb\r\n"],
  ["old Mac line ends", "a\rold\rb\r", "old", "new", "a\rnew\rb\r"],
  ["mixed line ends", "a\r\nb\nold\r\nc\n", "old", "new\nline", "a\r\nb\nnew\r\nline\r\nc\n"],
  ["CR CR LF", "a\r\r\nold\r\r\n", "old", "new", "a\r\r\nnew\r\r\n"],
  ["only line ends around it", "\n\n\nold\n\n\n", "old", "new", "\n\n\nnew\n\n\n"],
  ["byte order mark", `${mark}old\n`, "old", "new", `${mark}new\n`],
  [
    "byte order mark, in the old text too",
    `${mark}old\n`,
    "\uFEFFold",
    "\uFEFFnew",
    `${mark}new\n`,
  ],
  ["byte order mark and CRLF", `${mark}old\r\nb\r\n`, "old\nb", "x\ny", `${mark}x\r\ny\r\n`],
  [
    "mark, CRLF, latin1, no final line end",
    `${mark}\xe9\r\nold \xff`,
    "old",
    "new",
    `${mark}\xe9\r\nnew \xff`,
  ],
  ["a second mark in the middle", `${mark}a${mark}old`, "old", "new", `${mark}a${mark}new`],
  ["latin1", "caf\xe9 old na\xefve\n", "old", "new", "caf\xe9 new na\xefve\n"],
  ["latin1 on the edited line", "\xe9\xe8 = old;\n", "old", "new", "\xe9\xe8 = new;\n"],
  ["Shift JIS", "\x83\x65\x83\x58old\x83\x67\n", "old", "new", "\x83\x65\x83\x58new\x83\x67\n"],
  ["a cut UTF-8 sequence", "\xe2\x82 old \xe2\n", "old", "new", "\xe2\x82 new \xe2\n"],
  [
    "overlong and surrogate bytes",
    "\xc0\x80old\xed\xa0\x80",
    "old",
    "new",
    "\xc0\x80new\xed\xa0\x80",
  ],
  ["bytes that never occur in UTF-8", "\xf8\xfe\xffold", "old", "new", "\xf8\xfe\xffnew"],
  [
    "UTF-8 in the file and in the texts",
    "\xc3\xa9 = \xe2\x82\xac\n",
    "é = €",
    "ü = £",
    "\xc3\xbc = \xc2\xa3\n",
  ],
  ["four-byte characters", "\xf0\x9f\x99\x82old", "🙂old", "🙃", "\xf0\x9f\x99\x83"],
  ["composed and decomposed stay apart", "e\xcc\x81 \xc3\xa9", "é", "x", "e\xcc\x81 x"],
  ["control characters", "\x01\x1b[31mold\x7f\x0c", "old", "new", "\x01\x1b[31mnew\x7f\x0c"],
  ["tabs and spaces at line ends", "a \t\nold \t\n\t \n", "old", "new", "a \t\nnew \t\n\t \n"],
  ["a no-break space", "a\xc2\xa0old", "old", "new", "a\xc2\xa0new"],
  [
    "line separators of Unicode",
    "a\xe2\x80\xa8old\xe2\x80\xa9",
    "old",
    "new",
    "a\xe2\x80\xa8new\xe2\x80\xa9",
  ],
  ["patterns of String.replace", "x = old;", "old", "$& $1 $$ $` $'", "x = $& $1 $$ $` $';"],
  ["the whole file", "old", "old", "new", "new"],
  ["everything away", "old", "old", "", ""],
  ["a very long line", `${"x".repeat(200_000)}old`, "old", "new", `${"x".repeat(200_000)}new`],
  [
    "a NUL byte beyond where binaries are told",
    `old${"x".repeat(9000)}\0`,
    "old",
    "new",
    `new${"x".repeat(9000)}\0`,
  ],
];

for (const [name, before, oldText, newText, after] of edited) {
  test(`edited, every other byte as it was: ${name}`, async () => {
    held.place.write("file", latin1(before));
    expect(await edit(oldText, newText)).toMatchObject({ ok: true });
    expect(held.place.bytes("file").toString("latin1")).toBe(after);
    expect(readdirSync(held.place.workspace)).toEqual(["file"]);
  });
}

/** name, bytes, words of the refusal */
const refused: readonly (readonly [string, Buffer, string])[] = [
  ["UTF-16 LE", Buffer.from("\uFEFFold", "utf16le"), "UTF-16"],
  ["UTF-16 BE", Buffer.from("\uFEFFold", "utf16le").swap16(), "UTF-16"],
  ["UTF-16 without a mark", Buffer.from("old", "utf16le"), "binary"],
  ["UTF-32 LE", latin1("\xff\xfe\0\0o\0\0\0"), "UTF-16"],
  ["a program", latin1("\x7fELF\x02\x01\x01\0old"), "binary"],
  ["an image", latin1("\x89PNG\r\n\x1a\n\0\0\0\rIHDRold"), "binary"],
];

for (const [name, bytes, words] of refused) {
  test(`refused and left alone: ${name}`, async () => {
    held.place.write("file", bytes);
    const result = await edit("old", "new");
    expect(result.ok).toBe(false);
    expect(result.text).toContain(words);
    expect(held.place.bytes("file")).toEqual(bytes);
  });
}

test("refused: a text that is U+FFFD in what read_file showed", async () => {
  held.place.write("file", latin1("caf\xe9 old"));
  expect((await edit("caf\uFFFD old", "new")).ok).toBe(false);
  expect(held.place.bytes("file")).toEqual(latin1("caf\xe9 old"));
});

test("refused: a FIFO, without waiting for its writer", async () => {
  Bun.spawnSync(["mkfifo", held.place.at("file")]);
  expect((await edit("old", "new")).text).toBe("file is a FIFO, not a regular file");
  expect(lstatSync(held.place.at("file")).isFIFO()).toBe(true);
});

test("refused: a socket", async () => {
  const listener = Bun.listen({ unix: held.place.at("file"), socket: { data: () => undefined } });
  expect((await edit("old", "new")).text).toBe("file is a socket, not a regular file");
  listener.stop(true);
});

test("refused: a device, also behind a link", async () => {
  symlinkSync("/dev/null", held.place.at("file"));
  expect((await edit("old", "new")).text).toBe("/dev/null is a device, not a regular file");
  expect(lstatSync("/dev/null").isCharacterDevice()).toBe(true);
});

for (const mode of [0o400, 0o444, 0o555]) {
  test(`refused: a write-protected file, mode 0${mode.toString(8)}, for root too`, async () => {
    held.place.write("file", "old");
    chmodSync(held.place.at("file"), mode);
    expect((await edit("old", "new")).text).toContain("write-protected");
    expect(held.place.read("file")).toBe("old");
    expect(statSync(held.place.at("file")).mode & 0o7777).toBe(mode);
  });
}

for (const mode of [0o200, 0o600, 0o640, 0o664, 0o700, 0o755, 0o777, 0o4755, 0o2755]) {
  const readable = process.geteuid?.() === 0 || (mode & 0o400) !== 0;
  test(`a mode of 0${mode.toString(8)} is kept${readable ? "" : ", the file unreadable"}`, async () => {
    held.place.write("file", "old");
    chmodSync(held.place.at("file"), mode);
    expect((await edit("old", "new")).ok).toBe(readable);
    expect(statSync(held.place.at("file")).mode & 0o7777).toBe(mode);
  });
}

test("a directory that cannot be written to is named, and the file stays", async () => {
  const { place } = held;
  mkdirSync(place.at("dir"));
  place.write("dir/file", "old");
  chmodSync(place.at("dir"), 0o555);
  const args = { path: "dir/file", old_text: "old", new_text: "new" };
  if (process.geteuid?.() !== 0) {
    const result = await place.run(createEditFileTool(), args);
    expect(result.text).toContain("permission denied");
    expect(place.read("dir/file")).toBe("old");
  } else {
    // Permissions do not bind root; /proc, where nobody can create a name, does.
    const comm = readFileSync("/proc/self/comm", "utf8").trim();
    const inProc = { path: "/proc/self/comm", old_text: comm, new_text: "new" };
    const result = await place.run(createEditFileTool(), inProc);
    expect(result.text).toContain("cannot write");
    expect(readFileSync("/proc/self/comm", "utf8").trim()).toBe(comm);
  }
  chmodSync(place.at("dir"), 0o755);
});

test("a chain of links keeps every link, and the file keeps its place", async () => {
  const { place } = held;
  place.write("deep/er/real", "old");
  symlinkSync("er", place.at("deep/link"));
  symlinkSync("deep/link/real", place.at("middle"));
  symlinkSync(place.at("middle"), place.at("file"));
  expect(await edit("old", "new")).toEqual({
    ok: true,
    text: "edited deep/er/real: 1 replacement at line 1",
  });
  expect(place.read("deep/er/real")).toBe("new");
  for (const name of ["deep/link", "middle", "file"]) {
    expect(lstatSync(place.at(name)).isSymbolicLink()).toBe(true);
  }
  expect(readdirSync(place.at("deep/er"))).toEqual(["real"]);
});

test("a hard link is noted", async () => {
  linkSync(held.place.write("file", "old"), held.place.at("twin"));
  expect((await edit("old", "new")).text).toContain("2 hard links");
});

test("names with spaces, quotes, line feeds and other scripts are names", async () => {
  for (const path of [
    "a b",
    "it's",
    'say "x"',
    "two\nlines",
    "naïve-файл-文件",
    "-rf",
    "#1",
    "%2e",
  ]) {
    held.place.write(`./${path}`, "old");
    const args = { path, old_text: "old", new_text: "new" };
    expect(await held.place.run(createEditFileTool(), args)).toMatchObject({ ok: true });
    expect(held.place.read(path)).toBe("new");
  }
});
