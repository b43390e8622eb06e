// What a question about an edit shows: a unified diff of the files as they are and as they would be.
import { decodeText, toByteString } from "./text-encoding.ts";
import type { PlannedWrite } from "./planned-write.ts";
import { ToolFailure } from "./tool-failure.ts";

/** A person reads a screen or three, not a file of ten thousand lines. */
const maxPreviewLines = 200;
/** Past this the diff of two unlike files is not worth waiting for. */
const diffTimeoutMs = 500;

/** The diff of what `plan` computes; when it cannot be, the reason why the call would fail. */
export async function previewWrites(
  plan: () => Promise<readonly (PlannedWrite | undefined)[]>,
): Promise<string> {
  try {
    const writes = (await plan()).filter((write) => write !== undefined);
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
    return cutPreview(patches.join(""));
  } catch (error) {
    if (error instanceof ToolFailure) return `this call would fail: ${error.message}`;
    throw error;
  }
}

function cutPreview(diff: string): string {
  const lines = diff.split("\n");
  if (lines.length <= maxPreviewLines) return diff;
  const more = lines.length - maxPreviewLines;
  return `${lines.slice(0, maxPreviewLines).join("\n")}\n(${more} more lines)\n`;
}
