// A compiled executable with an import left open takes it from the current directory's node_modules: the build must
// find every such import, and say nothing of those that Bun itself answers.
import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile, hostTarget } from "../../scripts/compile.ts";

async function compileSource(
  source: string,
): Promise<{ inputs: readonly string[]; left: readonly string[] }> {
  const directory = mkdtempSync(join(tmpdir(), "opta-compile-"));
  try {
    const entry = join(directory, "entry.ts");
    writeFileSync(entry, source);
    writeFileSync(join(directory, "late.ts"), "export const late = 1;");
    const outfile = join(directory, "out/program");
    const inputs = await compile({
      entrypoints: [entry],
      target: hostTarget(),
      outfile,
      bytecode: false,
    });
    expect(existsSync(outfile)).toBe(true);
    return { inputs, left: readdirSync(join(directory, "out")) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe("compile", () => {
  test("accepts runtime modules and late imports of our own, and leaves the executable alone", async () => {
    const { inputs, left } = await compileSource(`
      import { readFileSync } from "node:fs";
      import { Database } from "bun:sqlite";
      const { late } = await import("./late.ts");
      console.log(readFileSync, Database, late);`);
    expect(inputs.some((path) => path.endsWith("late.ts"))).toBe(true);
    expect(left).toEqual(["program"]);
  });
  const openImports: readonly (readonly [title: string, source: string, name: string])[] = [
    [
      "a late import of a missing package",
      `await import("react-devtools-core");`,
      "react-devtools-core",
    ],
    [
      "a require in a try block",
      `try { require("react-devtools-core"); } catch (error) { console.log(error); }`,
      "react-devtools-core",
    ],
    [
      "a package that only Bun's own shim answers",
      `import WebSocket from "ws"; new WebSocket("");`,
      "ws",
    ],
  ];
  for (const [title, source, name] of openImports) {
    test(`refuses ${title}`, async () => {
      await expect(compileSource(source)).rejects.toThrow(name);
    });
  }
});
