// write_file: a whole file, new or replaced. What exists is only replaced when the model has read it as it is
// now (promises F3), and then keeps what read_file does not show: a byte order mark, and CRLF line ends when
// all lines had them and the new content has none.
import * as z from "zod";
import { previewWrites } from "./edit-preview.ts";
import {
  assertUnchangedSinceRead,
  type FileContent,
  type JudgedFile,
  readContent,
} from "./file-content.ts";
import { formatBytes } from "./output-spill.ts";
import { hardLinkNote } from "./planned-edit.ts";
import { commitWrites, isChange, type PlannedWrite, unchangedText } from "./planned-write.ts";
import {
  byteOrderMark,
  type ByteString,
  encodeText,
  fromByteString,
  isValidUtf8,
  lineEnds,
  toByteString,
} from "./text-encoding.ts";
import { defineTool, type FileLedger, type Tool } from "./tool.ts";
import { ToolFailure, toResult } from "./tool-failure.ts";
import { resolveJudgedPath, resolveWorkspacePath, showPath } from "./workspace-path.ts";

export function createWriteFileTool(): Tool {
  return defineTool({
    name: "write_file",
    description: "Create a file, or replace all of one you have read.",
    parameters: z.object({ path: z.string(), content: z.string() }),
    readOnly: false,
    effects: async (args, workspace) => [
      { kind: "write", path: await resolveWorkspacePath(args.path, workspace) },
    ],
    preview: (args, { workspace, files }) =>
      previewWrites(async () => {
        const path = await resolveWorkspacePath(args.path, workspace);
        return [planWrite({ path, shown: showPath(path, workspace) }, args.content, files)];
      }),
    run: (args, context) =>
      toResult(context, async () => {
        const path = await resolveJudgedPath(args.path, "write", context);
        const file = { path, shown: showPath(path, context.workspace) };
        const write = planWrite(file, args.content, context.files);
        if (isChange(write)) commitWrites([write], context.files);
        return write.summary;
      }),
  });
}

/** @throws ToolFailure for a file that has not been read as it is now, unless nothing would change */
function planWrite(file: JudgedFile, text: string, ledger: FileLedger): PlannedWrite {
  const before = readContent(file);
  const content = encodeText(text);
  if (!before) {
    const after = fromByteString(content);
    const summary = `created ${file.shown} (${formatBytes(after.length)})`;
    return { file, before, after, summary };
  }
  const old = toByteString(before.bytes);
  const same = { file, before, after: before.bytes, summary: unchangedText(file) };
  if (old === content) return same;
  assertMayReplace({ file, before, ledger, text });
  const { kept, notes } = keepStyle(content, old);
  if (kept === old) return same;
  const after = fromByteString(kept);
  const said = [`wrote ${file.shown} (${formatBytes(after.length)})`, ...notes].join("; ");
  return { file, before, after, summary: said + hardLinkNote(before) };
}

interface Replacing {
  readonly file: JudgedFile;
  readonly before: FileContent;
  readonly ledger: FileLedger;
  readonly text: string;
}

function assertMayReplace({ file, before, ledger, text }: Replacing): void {
  if (before.bytes.length > 0 && !ledger.has(file.path)) {
    throw new ToolFailure(
      `${file.shown} exists and you have not read it; read_file it first, or use edit_file`,
    );
  }
  assertUnchangedSinceRead(file, before, ledger);
  if (text.includes("\uFFFD") && !isValidUtf8(before.bytes)) {
    throw new ToolFailure(
      `${file.shown} has bytes that are not UTF-8, which content would turn into U+FFFD; use edit_file, which keeps them`,
    );
  }
}

/** What read_file does not show, the model cannot have meant to change. */
function keepStyle(
  content: ByteString,
  old: ByteString,
): { readonly kept: ByteString; readonly notes: readonly string[] } {
  const notes: string[] = [];
  let kept = content;
  if (lineEnds(old) === "crlf" && !content.includes("\r")) {
    kept = kept.replaceAll("\n", "\r\n");
    notes.push("kept CRLF line ends");
  }
  if (old.startsWith(byteOrderMark) && !kept.startsWith(byteOrderMark)) {
    kept = byteOrderMark + kept;
    notes.push("kept the byte order mark");
  }
  return { kept, notes };
}
