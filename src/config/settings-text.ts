// The user's settings file as text, before anybody knows what it says.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { OptaError } from "../protocol/error.ts";

/** @param directory opta's own */
export function settingsPath(directory: string): string {
  return join(directory, "config.json");
}

/** Undefined when there is no file. @throws OptaError config-invalid: it cannot be read, or is no text */
export function readSettingsText(path: string): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") return undefined;
    const reason =
      code === "EISDIR"
        ? "is a directory, not a file"
        : code === "EACCES"
          ? "cannot be read: permission denied"
          : error instanceof TypeError
            ? "is not UTF-8 text"
            : `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
    throw new OptaError("config-invalid", `${path} ${reason}`, `ls -ld ${path}`);
  }
}
