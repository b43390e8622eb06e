// The architecture as a test: the tree keeps every rule, and a planted breach of each rule is found.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import {
  checkArchitecture,
  importsOf,
  importTable,
  loadedWith,
  readSources,
  type Violation,
} from "./support/architecture.ts";

const src = join(import.meta.dir, "../src");
const sources = await readSources(src);
const violations = checkArchitecture(sources);

function breaches(rule: Violation["rule"]): readonly string[] {
  return violations
    .filter((violation) => violation.rule === rule)
    .map(({ file, detail }) => `${file}: ${detail}`);
}

describe("the tree", () => {
  test("is seen by the scan, type imports and late imports included", () => {
    expect(sources.size).toBeGreaterThan(60);
    const edges = new Set(
      [...sources].flatMap(([file, text]) =>
        importsOf(file, text).map(({ target }) => `${file} -> ${target}`),
      ),
    );
    expect(edges).toContain("client/client.ts -> protocol/event.ts");
    expect(edges).toContain("main.ts -> base/version.ts");
    expect(edges).toContain("main.ts -> cli/run.ts");
    expect(edges).toContain("protocol/event.ts -> zod");
  });
  const rules: readonly (readonly [Violation["rule"], string])[] = [
    ["folder", "has only folders with a row in the table"],
    ["import", "imports downwards only, as the table says"],
    ["package", "keeps every package with its owner"],
    ["late import", "loads code late at the allowed borders only"],
    ["cycle", "has no cycle of files"],
    ["environment", "reads the environment in config only"],
    ["printing", "prints in cli and tui only"],
    ["file name", "has kebab-case file names"],
    ["length", "has no file over 400 lines"],
    ["header", "has a comment at the top of every file"],
  ];
  for (const [rule, title] of rules) test(title, () => expect(breaches(rule)).toEqual([]));

  test("names in each row of the table only rows above it", () => {
    const rows = Object.keys(importTable);
    const upward = rows.flatMap((row, index) =>
      // client/attached.ts is a leaf that web may see; everything else is ordered.
      (importTable[row] ?? [])
        .map((allowed) => (rows.includes(allowed) ? allowed : (allowed.split("/", 1)[0] ?? "")))
        .filter((allowed) => rows.indexOf(allowed) >= index || rows.indexOf(allowed) < 0)
        .map((allowed) => `${row} -> ${allowed}`),
    );
    expect(upward).toEqual([]);
  });

  test("loads no schema on the way of `opta do` to a daemon: they would cost more than all the rest", () => {
    const loaded = new Set<string>();
    const load = (file: string) => {
      if (loaded.has(file)) return;
      loaded.add(file);
      loadedWith(file, sources.get(file) ?? "").forEach(load);
    };
    ["cli/run.ts", "cli/commands/do.ts", "client/connect.ts", "client/attach.ts"].forEach(load);
    load("config/settings-digest.ts");
    expect(loaded).toContain("protocol/operation-routes.ts");
    expect([...loaded].filter((file) => /^zod(\/|$)/.test(file))).toEqual([]);
  });

  test("has a protocol that runs in a browser", async () => {
    const shared = [...sources.keys()].filter(
      (path) => path.startsWith("protocol/") || path === "client/attached.ts",
    );
    expect(shared.length).toBeGreaterThan(5);
    const built = await Bun.build({
      entrypoints: shared.map((path) => join(src, path)),
      target: "browser",
      throw: false,
      metafile: true,
    });
    expect(built.logs.map(String)).toEqual([]);
    // For a browser Bun replaces node: modules by shims instead of refusing them: look at what went in.
    const outsiders = Object.entries(built.metafile?.inputs ?? {})
      .flatMap(([file, input]) =>
        input.imports.map(({ path, original }) => [file, original ?? path]),
      )
      .filter(([, path]) => /^(node:|bun:|bun$)/.test(path ?? ""));
    expect(outsiders).toEqual([]);
  });
});

describe("a planted breach is found:", () => {
  const plants: readonly {
    readonly title: string;
    readonly file: string;
    readonly text: string;
    readonly rule: Violation["rule"];
  }[] = [
    {
      title: "a folder nobody knows",
      file: "helpers/x.ts",
      text: "",
      rule: "folder",
    },
    {
      title: "the engine imports the command line",
      file: "engine/x.ts",
      text: `import { run } from "../cli/run.ts";\nrun();`,
      rule: "import",
    },
    {
      title: "the engine imports a type from config",
      file: "engine/x.ts",
      text: `import type { Config } from "../config/schema.ts";\nexport type X = Config;`,
      rule: "import",
    },
    {
      title: "an inline type between braces",
      file: "store/x.ts",
      text: `import {\n  type Tool,\n} from "../tools/tool.ts";\nexport type X = Tool;`,
      rule: "import",
    },
    {
      title: "a type named where it is used",
      file: "store/x.ts",
      text: `export type X = import("../tools/tool.ts").Tool;`,
      rule: "import",
    },
    {
      title: "a type passed on",
      file: "base/x.ts",
      text: `export type { OptaEvent } from "../protocol/event.ts";`,
      rule: "import",
    },
    {
      title: "the engine imports a provider instead of the contract",
      file: "engine/x.ts",
      text: `import { createLmxProvider } from "../providers/lmx/provider.ts";\ncreateLmxProvider();`,
      rule: "import",
    },
    {
      title: "a file outside src",
      file: "base/x.ts",
      text: `import manifest from "../../package.json";\nexport default manifest;`,
      rule: "import",
    },
    {
      title: "a package outside its owner's folder",
      file: "engine/x.ts",
      text: `import { parseArgs } from "citty";\nparseArgs([]);`,
      rule: "package",
    },
    {
      title: "a package without an owner",
      file: "cli/x.ts",
      text: `import WebSocket from "ws";\nnew WebSocket("");`,
      rule: "package",
    },
    {
      title: "zod in base",
      file: "base/x.ts",
      text: `import * as z from "zod";\nz.string();`,
      rule: "package",
    },
    {
      title: "a late import away from the borders",
      file: "engine/x.ts",
      text: `await import("./engine.ts");`,
      rule: "late import",
    },
    {
      title: "a late import of a variable",
      file: "cli/x.ts",
      text: `const name = String(1);\nawait import(name);`,
      rule: "late import",
    },
    {
      title: "a late import of a template",
      file: "cli/x.ts",
      text: "const name = String(1);\nawait import(`./${name}.ts`);",
      rule: "late import",
    },
    {
      title: "an early import of node:crypto",
      file: "store/x.ts",
      text: `import { createHash } from "node:crypto";\ncreateHash("sha256");`,
      rule: "late import",
    },
    {
      title: "a cycle of types",
      file: "base/x.ts",
      text: `import type { Y } from "./y.ts";\nexport type X = Y;`,
      rule: "cycle",
    },
    {
      title: "the environment read outside config",
      file: "tools/x.ts",
      text: `export const home = process.env["HOME"];`,
      rule: "environment",
    },
    {
      title: "the environment read through a name",
      file: "tools/x.ts",
      text: `const { env } = process;\nexport const home = env;`,
      rule: "environment",
    },
    {
      title: "the environment read through Bun",
      file: "tools/x.ts",
      text: "export const home = `${Bun.env.HOME}`;",
      rule: "environment",
    },
    {
      title: "the environment read through node:process",
      file: "tools/x.ts",
      text: `import { env } from "node:process";\nexport const home = env;`,
      rule: "environment",
    },
    {
      title: "the engine prints",
      file: "engine/x.ts",
      text: `console.error("something");`,
      rule: "printing",
    },
    {
      title: "a tool writes to stdout",
      file: "tools/x.ts",
      text: `import { writeSync } from "node:fs";\nwriteSync(1, "something");`,
      rule: "printing",
    },
    { title: "a name in camel case", file: "base/fileLock.ts", text: "", rule: "file name" },
    {
      title: "a file of 401 lines",
      file: "base/x.ts",
      text: "export {};\n".repeat(400),
      rule: "length",
    },
  ];
  for (const { title, file, text, rule } of plants) {
    test(title, () => {
      const planted = new Map([
        [file, `// Planted.\n${text}`],
        ["base/y.ts", `// Planted.\nimport type { X } from "./x.ts";\nexport type Y = X;`],
        ["cli/run.ts", "// Planted.\nexport const run = () => 1;"],
      ]);
      expect(checkArchitecture(planted).map((violation) => violation.rule)).toContain(rule);
    });
  }
  test("a file without a first comment", () => {
    const found = checkArchitecture(new Map([["base/x.ts", "export {};"]]));
    expect(found.map(({ rule }) => rule)).toEqual(["header"]);
  });
  test("and words in comments, strings and types are none", () => {
    const text = `// console.log(process.env)
import type * as z from "zod";
/** await import(x) */
export const help = "console.log and process.env in words";
export type X = z.ZodType;
`;
    expect(checkArchitecture(new Map([["tools/x.ts", text]]))).toEqual([]);
  });
});
