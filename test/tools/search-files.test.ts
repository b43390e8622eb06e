// One suite for everybody who searches: the ripgrep of @vscode/ripgrep, as if on PATH, and our own worker.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { rgPath } from "@vscode/ripgrep";
import type { PermissionRule } from "../../src/protocol/permission.ts";
import { createFileSearch } from "../../src/tools/file-search.ts";
import { createFindFilesTool } from "../../src/tools/find-files.ts";
import { createSearchFilesTool } from "../../src/tools/search-files.ts";
import { ToolFailure } from "../../src/tools/tool-failure.ts";
import { runningWith, uniqueSleep } from "../support/processes.ts";
import { runJudged } from "../support/run-judged.ts";

let directory = "";
let workspace = "";
beforeAll(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), "opta-search-")));
  workspace = join(directory, "workspace");
  const files: Readonly<Record<string, string>> = {
    ".gitignore": "node_modules/\n*.min.js\n/sub/ignored.txt\n",
    ".env": "needle=1",
    ".github/ci.yml": "needle: 1",
    ".git/HEAD": "needle",
    "README.md": "first\nthe needle\r\nthird needle\n",
    "src/a.ts": "const needle = 1;\nconst other = -e;\n",
    "src/b.js": "needle()",
    "src/a.min.js": "needle()",
    "src/deep/c.ts": "Needle",
    "src/Z.ts": "",
    "sub/.gitignore": "local.txt\n",
    "sub/local.txt": "needle",
    "sub/ignored.txt": "needle",
    "sub/kept.txt": "needle",
    "node_modules/x/index.js": "needle",
    "keys/server.key": "needle",
    "keys/id_rsa": "needle",
    "odd/a:1:b.txt": "odd",
    "odd/new\nline.txt": "odd",
    "odd/-e": "odd",
    "long.txt": `${"x".repeat(399)}needle${"y".repeat(5_000)}`,
    "latin1.txt": "plain",
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(workspace, path)), { recursive: true });
    writeFileSync(join(workspace, path), text);
  }
  writeFileSync(join(workspace, "binary.bin"), "needle\0needle");
  writeFileSync(join(workspace, "latin1.txt"), Buffer.from([0x63, 0x61, 0x66, 0xe9, 0x0a]));
  mkdirSync(join(directory, "outside"));
  writeFileSync(join(directory, "outside/secret.txt"), "needle outside");
  symlinkSync(join(directory, "outside"), join(workspace, "link"));
  symlinkSync(join(directory, "outside/secret.txt"), join(workspace, "link.txt"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const contextWith = (signal: AbortSignal) => ({
  workspace,
  outputDirectory: join(directory, "output"),
  callId: "call_1",
  files: new Map(),
  signal,
});

const searchers = { ripgrep: dirname(rgPath), "our own search": "/nowhere" } as const;
for (const [name, toolPath] of Object.entries(searchers)) {
  const options = { toolPath, cacheDirectory: "/dev/null/none", environment: {} };
  const searchTool = createSearchFilesTool(options);
  const findTool = createFindFilesTool(options);
  const context = () => contextWith(new AbortController().signal);
  const search = (args: object, rules?: readonly PermissionRule[]) =>
    runJudged(searchTool, args, context(), rules);
  const find = async (args: object) =>
    (await runJudged(findTool, args, context())).text.split("\n");

  describe(`search_files with ${name}`, () => {
    test("gives path, line and text, sorted, without ignored, hidden, binary, linked and secret files", async () => {
      const { ok, text } = await search({ pattern: "needle" });
      expect(ok).toBe(true);
      expect(text.split("\n").filter((line) => !line.startsWith("long.txt"))).toEqual([
        "README.md:2:the needle",
        "README.md:3:third needle",
        "src/a.ts:1:const needle = 1;",
        "src/b.js:1:needle()",
        "sub/kept.txt:1:needle",
      ]);
    });

    test("cuts long lines", async () => {
      const { text } = await search({ pattern: "needle", path: "long.txt" });
      expect(text).toStartWith(`long.txt:1:${"x".repeat(399)}`);
      expect(text.length).toBeLessThan(500);
    });

    test("searches below a path or in one file", async () => {
      expect((await search({ pattern: "needle", path: "src" })).text).toBe(
        "src/a.ts:1:const needle = 1;\nsrc/b.js:1:needle()",
      );
      expect((await search({ pattern: "needle", path: "src/b.js" })).text).toBe(
        "src/b.js:1:needle()",
      );
    });

    test("takes globs by name, by path and negated, and .gitignore still holds", async () => {
      const paths = async (glob: string) =>
        (await search({ pattern: "needle", glob })).text
          .split("\n")
          .map((line) => line.slice(0, line.indexOf(":")));
      expect(await paths("*.js")).toEqual(["src/b.js"]);
      expect(await paths("src/**/*.{ts,js}")).toEqual(["src/a.ts", "src/b.js"]);
      expect(await paths("./src/*.ts")).toEqual(["src/a.ts"]);
      expect(await paths(`${workspace}/sub/**`)).toEqual(["sub/kept.txt"]);
      expect(await paths("!*.{md,txt}")).toEqual(["src/a.ts", "src/b.js"]);
    });

    test("looks into hidden and ignored places that are named", async () => {
      expect((await search({ pattern: "needle", path: ".github" })).text).toBe(
        ".github/ci.yml:1:needle: 1",
      );
      expect((await search({ pattern: "needle", glob: ".github/**" })).text).toBe(
        ".github/ci.yml:1:needle: 1",
      );
      expect((await search({ pattern: "needle", path: "node_modules/x" })).text).toBe(
        "node_modules/x/index.js:1:needle",
      );
    });

    test("shows secrets only when the path names them", async () => {
      for (const glob of [".env", ".*", "*.key", "keys/*", "id_rsa"])
        expect((await search({ pattern: "needle", glob })).text).not.toMatch(/^(\.env|keys)/m);
      expect((await search({ pattern: "needle", path: "keys" })).text).toBe("no matches");
      expect((await search({ pattern: "needle", path: ".env" })).text).toBe(".env:1:needle=1");
    });

    test("leaves out what a rule denies or asks about, also when that is all there is", async () => {
      const rules: readonly PermissionRule[] = [
        { decision: "deny", path: "src/**" },
        { decision: "ask", path: "sub/**" },
      ];
      expect((await search({ pattern: "needle", glob: "*.{ts,js,txt}" }, rules)).text).toStartWith(
        "long.txt:1:",
      );
      expect((await search({ pattern: "needle", glob: "src/**" }, rules)).text).toBe("no matches");
      expect((await search({ pattern: "needle", path: "sub" }, rules)).text).toBe(
        "sub/kept.txt:1:needle",
      );
    });

    test("names the resolved place as its effect, links included", async () => {
      const outside = join(directory, "outside");
      expect(await searchTool.effects({ pattern: "x", path: "link" }, workspace)).toEqual([
        { kind: "read", path: outside },
      ]);
      expect(await searchTool.effects({ pattern: "x" }, workspace)).toEqual([
        { kind: "read", path: workspace },
      ]);
      expect((await search({ pattern: "needle", path: "link" })).text).toBe(
        `${outside}/secret.txt:1:needle outside`,
      );
    });

    test("a pattern or path that begins with a dash is no flag", async () => {
      expect((await search({ pattern: "-e" })).text).toBe("src/a.ts:2:const other = -e;");
      expect((await search({ pattern: "--files" })).text).toBe("no matches");
      expect((await search({ pattern: "odd", path: "odd/-e" })).text).toBe("odd/-e:1:odd");
      expect((await search({ pattern: "needle", glob: "--hidden" })).text).toBe("no matches");
    });

    test("is not confused by colons and newlines in names", async () => {
      expect((await search({ pattern: "odd" })).text.split("\n").toSorted()).toEqual([
        "line.txt:1:odd",
        "odd/-e:1:odd",
        "odd/a:1:b.txt:1:odd",
        "odd/new",
      ]);
    });

    test("understands (?i) and look-around", async () => {
      expect((await search({ pattern: "(?i)NEEDLE", path: "src/deep" })).text).toBe(
        "src/deep/c.ts:1:Needle",
      );
      expect((await search({ pattern: "needle(?=\\()", path: "src" })).text).toBe(
        "src/b.js:1:needle()",
      );
    });

    test("a wrong pattern is a failure in the searcher's words", async () => {
      const { ok, text } = await search({ pattern: "(" });
      expect(ok).toBe(false);
      expect(text).toMatch(/unclosed group|missing \)/);
    });

    test("a path that is not there is a failure", async () => {
      const { ok, text } = await search({ pattern: "x", path: "nope" });
      expect(ok).toBe(false);
      expect(text).toContain("nope does not exist");
    });

    test("shows bytes that are not UTF-8 as U+FFFD", async () => {
      expect((await search({ pattern: "caf", path: "latin1.txt" })).text).toBe(
        "latin1.txt:1:caf\uFFFD",
      );
    });

    test("never follows a root that was swapped for a link after it was judged", async () => {
      const searchIn = createFileSearch(options);
      const roots = [join(workspace, "link"), join(workspace, "link.txt")];
      for (const root of [...roots, join(workspace, "link/secret.txt"), join(directory, "gone")]) {
        const request = { root, workspace, hidden: false, glob: undefined };
        for (const pattern of ["needle", undefined]) {
          const reading = Array.fromAsync(
            searchIn({ ...request, pattern }, new AbortController().signal),
          );
          expect(await reading.catch((error: unknown) => error)).toBeInstanceOf(ToolFailure);
        }
      }
    });

    test("a glob holds for a single file, too", async () => {
      const args = { pattern: "needle", path: "src/b.js" };
      expect((await search({ ...args, glob: "*.js" })).text).toBe("src/b.js:1:needle()");
      expect((await search({ ...args, glob: "*.ts" })).text).toBe("no matches");
    });

    test("shows what read_file cannot open as such", async () => {
      const odd = join(workspace, "bytes");
      mkdirSync(odd);
      writeFileSync(Buffer.concat([Buffer.from(`${odd}/bad`), Buffer.from([0xff])]), "bytes");
      writeFileSync(join(odd, "fine\uFFFD"), "bytes");
      try {
        expect((await search({ pattern: "bytes", path: "bytes" })).text.split("\n")).toEqual([
          "bytes/bad\\xff (name is not UTF-8; use run_command):1:bytes",
          "bytes/fine\uFFFD:1:bytes",
        ]);
        expect(await find({ pattern: "*", path: "bytes" })).toEqual([
          "bytes/bad\\xff (name is not UTF-8; use run_command)",
          "bytes/fine\uFFFD",
        ]);
      } finally {
        rmSync(odd, { recursive: true });
      }
    });

    test("says nothing of binary files, wherever the NUL comes", async () => {
      const place = join(directory, `notes-${toolPath.length}`);
      mkdirSync(place);
      for (const name of ["a.bin", "b.bin", "z.bin"])
        writeFileSync(join(place, name), `needle\n${"x\n".repeat(200_000)}\0\n`);
      writeFileSync(join(place, "c.txt"), "needle c\n");
      const { text } = await search({ pattern: "needle", path: place });
      expect(text.split("\n").filter((line) => !line.includes(".bin:1:needle"))).toEqual([
        `${place}/c.txt:1:needle c`,
      ]);
    });

    test("caps what the model reads and the number of matches", async () => {
      const many = join(directory, `many-${toolPath.length}`);
      mkdirSync(many);
      writeFileSync(join(many, "many.txt"), "match\n".repeat(12_000));
      const { text } = await search({ pattern: "match", path: many });
      expect(text.length).toBeLessThanOrEqual(50 * 1024);
      expect(text).toContain("read_file with offset");
      expect(text).toEndWith(`${many}/many.txt:10000:match\n(stopped after 10000; narrow it down)`);
    });

    test("a cancelled search says so", async () => {
      const result = await runJudged(
        searchTool,
        { pattern: "needle" },
        contextWith(AbortSignal.abort()),
      );
      expect(result.ok).toBe(false);
      expect(result.text).toContain("cancelled");
    });
  });

  describe(`find_files with ${name}`, () => {
    test("gives paths by name, sorted, without ignored, hidden and linked files", async () => {
      expect(await find({ pattern: "*.ts" })).toEqual(["src/Z.ts", "src/a.ts", "src/deep/c.ts"]);
      expect(await find({ pattern: "*.js" })).toEqual(["src/b.js"]);
      expect(await find({ pattern: "*.txt", path: "sub" })).toEqual(["sub/kept.txt"]);
      expect(await find({ pattern: "secret.txt" })).toEqual(["no files match"]);
    });

    test("leaves out what a rule denies or asks about", async () => {
      const rules: readonly PermissionRule[] = [
        { decision: "deny", path: "src/deep/**" },
        { decision: "ask", path: "src/Z*" },
      ];
      const { text } = await runJudged(findTool, { pattern: "*.ts" }, context(), rules);
      expect(text).toBe("src/a.ts");
    });

    test("gives paths by a glob over the path, below the workspace or below `path`", async () => {
      expect(await find({ pattern: "src/*.ts" })).toEqual(["src/Z.ts", "src/a.ts"]);
      expect(await find({ pattern: "**/*.ts", path: "src/deep" })).toEqual(["src/deep/c.ts"]);
      expect(await find({ pattern: "deep/*.ts", path: "src" })).toEqual(["src/deep/c.ts"]);
      expect(await find({ pattern: "src/deep/" })).toEqual(["src/deep/c.ts"]);
    });

    test("gives hidden files when the pattern names them, but never .git", async () => {
      expect(await find({ pattern: ".env*" })).toEqual([".env"]);
      expect(await find({ pattern: ".github/**" })).toEqual([".github/ci.yml"]);
      expect(await find({ pattern: ".git/*" })).toEqual(["no files match"]);
    });

    test("names the resolved place as its effect", async () => {
      expect(await findTool.effects({ pattern: "*", path: "link" }, workspace)).toEqual([
        { kind: "read", path: join(directory, "outside") },
      ]);
    });
  });
}

test("our own search can be given up while a regular expression hangs", async () => {
  const hanging = join(directory, "hanging");
  mkdirSync(hanging);
  writeFileSync(join(hanging, "a.txt"), `${"a".repeat(40)}!\n`.repeat(50_000));
  const controller = new AbortController();
  const tool = createSearchFilesTool({
    toolPath: "/nowhere",
    cacheDirectory: "/dev/null/none",
    environment: {},
  });
  setTimeout(() => controller.abort(), 200);
  const result = await runJudged(
    tool,
    { pattern: "^(a+)+$", path: hanging },
    contextWith(controller.signal),
  );
  expect(result).toEqual({ ok: false, text: "cancelled" });
});

test("a cancel ends ripgrep, keeps what it found, and leaves nothing running even of a wrapper", async () => {
  const seconds = uniqueSleep();
  const script = `#!/bin/sh\nprintf 'a.txt\\0001:hit\\n'\nsleep ${seconds}\nexit 0\n`;
  mkdirSync(join(directory, "wrapped"));
  writeFileSync(join(workspace, "a.txt"), "hit\n");
  writeFileSync(join(directory, "wrapped/rg"), script, { mode: 0o755 });
  const controller = new AbortController();
  const tool = createSearchFilesTool({
    toolPath: `${join(directory, "wrapped")}:/usr/bin:/bin`,
    cacheDirectory: "/dev/null/none",
    environment: { PATH: "/usr/bin:/bin" },
  });
  const running = runJudged(tool, { pattern: "hit" }, contextWith(controller.signal));
  while ((await runningWith(`sleep ${seconds}`)).length === 0) await Bun.sleep(20);
  controller.abort();
  expect(await running).toEqual({ ok: true, text: "a.txt:1:hit\n(cancelled)" });
  // A killed process may take its time to go on a busy machine.
  const giveUpAt = Date.now() + 2_000;
  while ((await runningWith(`sleep ${seconds}`)).length > 0 && Date.now() < giveUpAt) {
    await Bun.sleep(20);
  }
  expect(await runningWith(`sleep ${seconds}`)).toEqual([]);
});

test("what ripgrep read through a directory swapped for a link meanwhile is not shown", async () => {
  // As if `outside` had stood in the place of `swapped` for a moment.
  const script =
    "#!/bin/sh\nprintf './swapped/secret.txt\\0001:needle outside\\n./swapped/mine.txt\\0001:needle mine\\n'\n";
  const list =
    "#!/bin/sh\nprintf './swapped/secret.txt\\000./swapped/mine.txt\\000./link/secret.txt\\000'\n";
  mkdirSync(join(directory, "swapping"));
  mkdirSync(join(workspace, "swapped"));
  writeFileSync(join(workspace, "swapped/mine.txt"), "needle mine\n");
  const options = {
    toolPath: join(directory, "swapping"),
    cacheDirectory: "/dev/null/none",
    environment: {},
  };
  const context = contextWith(new AbortController().signal);
  const rg = join(directory, "swapping/rg");
  try {
    writeFileSync(rg, script, { mode: 0o755 });
    const search = createSearchFilesTool(options);
    expect((await runJudged(search, { pattern: "needle" }, context)).text).toBe(
      "swapped/mine.txt:1:needle mine",
    );
    writeFileSync(rg, list);
    const find = createFindFilesTool(options);
    expect((await runJudged(find, { pattern: "*.txt" }, context)).text).toBe("swapped/mine.txt");
    writeFileSync(join(workspace, "swapped/secret.txt"), "other\n");
    writeFileSync(rg, script);
    expect((await runJudged(search, { pattern: "needle" }, context)).text).toBe(
      "swapped/mine.txt:1:needle mine",
    );
  } finally {
    rmSync(join(workspace, "swapped"), { recursive: true });
  }
});

test("ripgrep's matches are shown in files of any size, in long lines and in UTF-16", async () => {
  const place = join(directory, "shapes");
  mkdirSync(place);
  writeFileSync(
    join(place, "big.txt"),
    `${"x".repeat(99)}\n`.repeat(9_000) + "needle big\n".repeat(3),
  );
  writeFileSync(join(place, "long.txt"), `needle ${"y".repeat(900_000)}\nneedle after\n\n`);
  for (const [name, isLittle] of [
    ["le.txt", true],
    ["be.txt", false],
  ] as const) {
    const text = Buffer.from(`\uFEFFfirst\r\nneedle é ${name}\r\n`, "utf16le");
    writeFileSync(join(place, name), isLittle ? text : text.swap16());
  }
  const tool = createSearchFilesTool({
    toolPath: dirname(rgPath),
    cacheDirectory: "/dev/null/none",
    environment: {},
  });
  const context = contextWith(new AbortController().signal);
  const { text } = await runJudged(tool, { pattern: "needle|^$", path: place }, context);
  const lines = text.split("\n").map((line) => line.slice(place.length + 1));
  expect(lines.map((line) => line.slice(0, 60).trim())).toEqual([
    "be.txt:2:needle é be.txt",
    "big.txt:9001:needle big",
    "big.txt:9002:needle big",
    "big.txt:9003:needle big",
    "le.txt:2:needle é le.txt",
    `long.txt:1:needle ${"y".repeat(42)}`,
    "long.txt:2:needle after",
    "long.txt:3:",
  ]);
  expect(lines[5]).toEndWith("[... omitted end of long line]");
});

test("an rg that does not run is told, not taken for finding nothing", async () => {
  mkdirSync(join(directory, "broken"));
  writeFileSync(join(directory, "broken/rg"), "#!/bin/sh\necho no library >&2\nexit 127\n", {
    mode: 0o755,
  });
  const tool = createSearchFilesTool({
    toolPath: join(directory, "broken"),
    cacheDirectory: "/dev/null/none",
    environment: {},
  });
  const result = await runJudged(tool, { pattern: "x" }, contextWith(new AbortController().signal));
  expect(result.ok).toBe(false);
  expect(result.text).toContain("broken/rg failed (exit code 127): no library");
});

test("ripgrep's own configuration is not read", async () => {
  const config = join(directory, "ripgreprc");
  writeFileSync(config, "--hidden\n--no-ignore\n");
  const tool = createSearchFilesTool({
    toolPath: dirname(rgPath),
    cacheDirectory: "/dev/null/none",
    environment: { RIPGREP_CONFIG_PATH: config },
  });
  const args = { pattern: "needle", path: "sub" };
  expect((await runJudged(tool, args, contextWith(new AbortController().signal))).text).toBe(
    "sub/kept.txt:1:needle",
  );
});
