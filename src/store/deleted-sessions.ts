// Sessions that are deleted: noted beside the daemon's event log (daemon/deleted/<id>, empty) before their file goes, so
// that their events go, too, whoever deletes them and whatever comes in between; only the daemon writes that log. That a
// session's file is not there says nothing by itself: its directory may be on a disk that is not mounted, and a damaged
// file is set aside.
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../base/storage-error.ts";
import { sessionIdPattern } from "../protocol/session-id.ts";
import { daemonPaths } from "./daemon-place.ts";

/** Where it cannot be noted, the events go when they are old. @param root opta's own directory */
export function noteDeletedSession(root: string, sessionId: string): void {
  const { events, deleted } = daemonPaths(root);
  if (!existsSync(events)) return;
  ignoringDisk(() => {
    mkdirSync(deleted, { recursive: true, mode: 0o700 });
    writeFileSync(join(deleted, sessionId), "", { mode: 0o600 });
  });
}

export function notedDeletions(root: string): readonly string[] {
  const { deleted } = daemonPaths(root);
  return (
    ignoringDisk(() => readdirSync(deleted).filter((name) => sessionIdPattern.test(name))) ?? []
  );
}

export function removeDeletionNote(root: string, sessionId: string): void {
  ignoringDisk(() => rmSync(join(daemonPaths(root).deleted, sessionId), { force: true }));
}

function ignoringDisk<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}
