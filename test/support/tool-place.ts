// A workspace for tests of tools: calls go as in the engine, arguments parsed and effects judged before the run.
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { FileLedger, Tool, ToolContext, ToolResult } from "../../src/tools/tool.ts";

export interface ToolPlace extends Disposable {
  /** Links resolved. */
  readonly workspace: string;
  /** Beside the workspace, not in it. */
  readonly outside: string;
  readonly files: FileLedger;
  /** Absolute path of a name in the workspace. */
  at(name: string): string;
  /** Makes parents; relative names are in the workspace. @returns the absolute path */
  write(name: string, content: string | Uint8Array): string;
  read(name: string): string;
  bytes(name: string): Buffer;
  run(tool: Tool, args: object): Promise<ToolResult>;
  /** As run, with `between` after the effects were judged. */
  runAfter(tool: Tool, args: object, between: () => void): Promise<ToolResult>;
  context(changes?: Partial<ToolContext>): ToolContext;
}

export function createToolPlace(): ToolPlace {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "opta-tools-")));
  const workspace = join(root, "workspace");
  const outside = join(root, "outside");
  for (const path of [workspace, outside]) mkdirSync(path);
  const files: FileLedger = new Map();
  const at = (name: string) => (name.startsWith("/") ? name : join(workspace, name));
  const context = (changes: Partial<ToolContext> = {}): ToolContext => ({
    workspace,
    outputDirectory: join(root, "output"),
    callId: "call-1",
    files,
    effects: [],
    mayRead: () => true,
    mayList: () => true,
    signal: new AbortController().signal,
    ...changes,
  });
  const place: ToolPlace = {
    workspace,
    outside,
    files,
    at,
    context,
    write(name, content) {
      mkdirSync(dirname(at(name)), { recursive: true });
      writeFileSync(at(name), content);
      return at(name);
    },
    read: (name) => readFileSync(at(name), "utf8"),
    bytes: (name) => readFileSync(at(name)),
    run: (tool, args) => place.runAfter(tool, args, () => undefined),
    async runAfter(tool, args, between) {
      const parsed = tool.parameters.parse(args);
      const effects = await tool.effects(parsed, workspace);
      between();
      return tool.run(parsed, context({ effects }));
    },
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
  return place;
}
