import { describe, expect, test } from "bun:test";
import { formatBytes, formatCount, formatSeconds } from "../../../src/cli/output/quantity.ts";
import { renderTable } from "../../../src/cli/output/table.ts";
import { createCapturedIo } from "../../support/command-line.ts";

const table = {
  head: ["NAME", "SIZE"],
  rows: [
    ["a-rather-long-name-of-a-model", "12"],
    ["漢字", "3"],
  ],
  alignRight: [1],
};

describe("a table", () => {
  test("is aligned by what is seen, without trailing spaces", () => {
    const plain = { ...table, alignRight: [] };
    expect(renderTable(plain, createCapturedIo())).toBe(`NAME                           SIZE
a-rather-long-name-of-a-model  12
漢字                           3
`);
  });

  test("is cut to a terminal's width, the widest column first", () => {
    const io = createCapturedIo({ terminal: true, columns: 20 });
    expect(renderTable(table, io)).toBe(`NAME            SIZE
a-rather-long…    12
漢字               3
`);
  });

  test("is never cut below eight characters a column, nor hangs when nothing fits", () => {
    const io = createCapturedIo({ terminal: true, columns: 3 });
    expect(renderTable(table, io).split("\n")[1]).toBe("a-rathe…    12");
  });

  test("keeps whole cells in a pipe, however long", () => {
    const long = "x".repeat(500);
    const text = renderTable({ head: ["A"], rows: [[long]] }, createCapturedIo({ columns: 20 }));
    expect(text).toBe(`A\n${long}\n`);
  });

  test("keeps a cell on one line and its escape sequences out", () => {
    const rows = [["two\nlines\u001b[31m"]];
    expect(renderTable({ head: ["A"], rows }, createCapturedIo())).toBe("A\ntwo lines\n");
  });
});

test("amounts read as a person says them, unknown ones as a dash", () => {
  expect([0, 1023, 1024, 4_724_464_025, 2 ** 50].map(formatBytes)).toEqual([
    "0 B",
    "1023 B",
    "1.0 KiB",
    "4.4 GiB",
    "1024.0 TiB",
  ]);
  expect([formatBytes(null), formatCount(null), formatCount(262_144)]).toEqual([
    "-",
    "-",
    "262,144",
  ]);
  expect([400, 42_000, 119_400, 185_000].map(formatSeconds)).toEqual([
    "0 s",
    "42 s",
    "119 s",
    "3 min 5 s",
  ]);
});
