// Where sessions lie in opta's own directory. Free of schemas: who only looks whether one is there loads none.
import { join } from "node:path";

/** @param root opta's own directory */
export function sessionsDirectory(root: string): string {
  return join(root, "sessions");
}

/** @param sessionId checked before: it becomes a file's name */
export function sessionPath(directory: string, sessionId: string): string {
  return join(directory, `${sessionId}.json`);
}
