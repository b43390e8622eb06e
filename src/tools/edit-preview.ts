// What a question about an edit shows: a unified diff of the files as they are and as they would be.
import { decodeText, toByteString } from "./text-encoding.ts";
import { assertWritable, isChange, type PlannedWrite, unchangedText } from "./planned-write.ts";
import type { ToolPreview } from "./tool.ts";
import { failureText } from "./tool-failure.ts";

/** A person reads a screen or three, not a file of ten thousand lines. */
const maxPreviewLines = 200;
/** Past this the diff of two unlike files is not worth waiting for. */
const diffTimeoutMs = 500;

/** The diff of what `plan` computes; when it cannot be, or would change nothing, that. */
export async function previewWrites(
  plan: () => Promise<readonly PlannedWrite[]>,
): Promise<ToolPreview> {
  try {
    const planned = await plan();
    const writes = planned.filter(isChange);
    if (writes.length === 0) {
      return { ok: false, text: planned.map(({ file }) => unchangedText(file)).join("\n") };
    }
    for (const write of writes) assertWritable(write);
    // 12 ms to load, and only a question needs it.
    const { createTwoFilesPatch, FILE_HEADERS_ONLY } = await import("diff");
    const patches = writes.map(({ file, before, after }) => {
      const now = before ? decodeText(toByteString(before.bytes)) : "";
      const names = [before ? file.shown : "/dev/null", file.shown] as const;
      const patch = createTwoFilesPatch(...names, now, decodeText(toByteString(after)), "", "", {
        context: 3,
        headerOptions: FILE_HEADERS_ONLY,
        timeout: diffTimeoutMs,
      });
      return patch ?? `${file.shown}: too many changes for a diff\n`;
    });
    return { ok: true, text: cutPreview(patches.join("")) };
  } catch (error) {
    return { ok: false, text: failureText(error) };
  }
}

function cutPreview(diff: string): string {
  const lines = diff.split("\n");
  if (lines.length <= maxPreviewLines) return diff;
  const more = lines.length - maxPreviewLines;
  return `${lines.slice(0, maxPreviewLines).join("\n")}\n(${more} more lines)\n`;
}
