// read_file: lines of a text file as `12:text`, within the output limits. Small files are read whole and
// stamped, so that a later edit knows whether they changed; of huge ones only what is shown is kept in memory.
import * as z from "zod";
import { contentKind, isValidUtf8 } from "./text-encoding.ts";
import { defineTool, type FileLedger, type Tool } from "./tool.ts";
import { ToolFailure, toResult } from "./tool-failure.ts";
import {
  type JudgedFile,
  maxWholeFileBytes,
  type OpenFile,
  stampOf,
  withOpenFile,
} from "./file-content.ts";
import { type LineWindow, readLineWindow, type WindowRequest } from "./line-window.ts";
import { outputLimits } from "./output-cap.ts";
import { resolveJudgedPath, resolveWorkspacePath, showPath } from "./workspace-path.ts";

export function createReadFileTool(): Tool {
  return defineTool({
    name: "read_file",
    description: "Read a text file; each line is shown as NUMBER:TEXT.",
    parameters: z.object({
      path: z.string(),
      // Coerced: some models send numbers as strings.
      offset: z.coerce.number().optional().describe("First line, from 1"),
      limit: z.coerce.number().optional().describe("Lines, at most 2000"),
    }),
    readOnly: true,
    effects: async ({ path }, workspace) => [
      { kind: "read", path: await resolveWorkspacePath(path, workspace) },
    ],
    run: (args, context) =>
      toResult(context, async () => {
        const path = await resolveJudgedPath(args.path, "read", context);
        const file = { path, shown: showPath(path, context.workspace) };
        const request = {
          firstLine: Math.max(1, Math.floor(args.offset ?? 1)),
          maxLines: Math.min(outputLimits.lines, Math.max(1, Math.floor(args.limit ?? Infinity))),
          maxBytes: outputLimits.bytes,
          signal: context.signal,
        };
        return withOpenFile(file, (open) =>
          readOpenFile(file, { open, request, ledger: context.files }),
        );
      }),
  });
}

interface Reading {
  readonly open: OpenFile;
  readonly request: WindowRequest;
  readonly ledger: FileLedger;
}

async function readOpenFile(file: JudgedFile, reading: Reading): Promise<string> {
  const { open, request, ledger } = reading;
  if (open.stat.size > maxWholeFileBytes) {
    const window = await readLineWindow(chunksOf(file, open), request);
    return show(file, window, request);
  }
  const bytes = open.readAll();
  assertText(file, bytes);
  ledger.set(file.path, stampOf(bytes, open.stat.mtimeNs));
  const window = await readLineWindow([bytes], request);
  const note = isValidUtf8(bytes)
    ? ""
    : "\n(bytes that are not UTF-8 show as \uFFFD; edit_file keeps them, and cannot match them)";
  return show(file, window, request) + note;
}

/** Large enough that system calls cost nothing, small enough to be nothing in memory. */
const chunkBytes = 256 * 1024;

function* chunksOf(file: JudgedFile, open: OpenFile): Generator<Uint8Array> {
  const buffer = new Uint8Array(chunkBytes);
  let first = true;
  for (let size = open.read(buffer); size > 0; size = open.read(buffer)) {
    const chunk = buffer.subarray(0, size);
    if (first) assertText(file, chunk);
    first = false;
    yield chunk;
  }
}

function assertText(file: JudgedFile, bytes: Uint8Array): void {
  const kind = contentKind(bytes);
  if (kind.kind === "refused") throw new ToolFailure(`${file.shown} ${kind.reason}`);
}

function show(file: JudgedFile, window: LineWindow, { firstLine }: WindowRequest): string {
  const { lines, isEnd } = window;
  if (lines.length === 0) {
    if (window.seenLines === 0) return "(the file is empty)";
    throw new ToolFailure(
      `offset ${firstLine} is past the end: ${file.shown} has ${window.seenLines} lines`,
    );
  }
  const lastLine = firstLine + lines.length - 1;
  const text = lines.map((line, index) => `${firstLine + index}:${line}`).join("\n");
  if (isEnd && firstLine === 1) return text;
  const total = window.totalLines === undefined ? "" : ` of ${window.totalLines}`;
  const onward = isEnd ? "the end of the file" : `read on with offset=${lastLine + 1}`;
  return `${text}\n(lines ${firstLine}-${lastLine}${total}; ${onward})`;
}
