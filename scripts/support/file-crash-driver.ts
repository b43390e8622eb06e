// The program that scripts/file-crash.ts kills: one file operation in a prepared directory, between two marker
// system calls (a stat of a path that does not exist), so that the harness finds it in a trace.
// Usage: bun file-crash-driver.ts OPERATION DIRECTORY; prints {"ok", "text"}.
import { statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../src/base/atomic-file.ts";
import { createEditFileTool } from "../../src/tools/edit-file.ts";
import { createMultiEditTool } from "../../src/tools/multi-edit.ts";
import type { Tool, ToolContext } from "../../src/tools/tool.ts";
import { createWriteFileTool } from "../../src/tools/write-file.ts";
import { crashContents, crashMarkers } from "./file-crash-fixture.ts";

interface Outcome {
  readonly ok: boolean;
  readonly text: string;
}

const [operation, directory = "."] = Bun.argv.slice(2);
const context: ToolContext = {
  workspace: directory,
  outputDirectory: join(directory, "output"),
  callId: "1",
  files: new Map(),
  effects: [],
  mayRead: () => true,
  mayList: () => true,
  signal: new AbortController().signal,
};
const outcome = await between(() => perform());
await Bun.write(Bun.stdout, JSON.stringify(outcome));

async function between(work: () => Promise<Outcome>): Promise<Outcome> {
  statSync(crashMarkers.begin, { throwIfNoEntry: false });
  try {
    return await work();
  } catch (error) {
    return { ok: false, text: error instanceof Error ? error.message : String(error) };
  } finally {
    statSync(crashMarkers.end, { throwIfNoEntry: false });
  }
}

function perform(): Promise<Outcome> {
  const { before, after } = crashContents;
  switch (operation) {
    case "save":
      return writeFileAtomic(join(directory, "session.json"), after, { mode: 0o600 }).then(() => ({
        ok: true,
        text: "saved",
      }));
    case "torn":
      truncateSync(join(directory, "session.json"));
      writeFileSync(join(directory, "session.json"), after);
      return Promise.resolve({ ok: true, text: "saved" });
    case "edit":
      return run(createEditFileTool(), { path: "link.txt", old_text: before, new_text: after });
    case "multi": {
      const edits = ["one.txt", "two.txt"].map((path) => ({
        path,
        old_text: before,
        new_text: after,
      }));
      return run(createMultiEditTool(), { edits });
    }
    case "create":
      return run(createWriteFileTool(), { path: "new/deep/file.txt", content: after });
    default:
      throw new Error(`unknown operation ${operation}`);
  }
}

async function run(tool: Tool, args: object): Promise<Outcome> {
  const effects = await tool.effects(args, directory);
  return tool.run(args, { ...context, effects });
}
