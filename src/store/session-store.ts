// The contract of session storage: what the engine and the session commands need from disk. One
// implementation, session-file.ts; the engine knows only this.
import type { SessionFile, SessionSummary } from "../protocol/session.ts";

export interface SessionStore {
  /**
   * @throws OptaError not-found | session-corrupt (the file is kept aside as <id>.json.corrupt-<n> and
   *   named in the message) | storage-failed
   */
  load(sessionId: string): Promise<SessionFile>;
  /**
   * Old or new content, never a mix; durable when it resolves. @returns the file's stamp
   * @throws OptaError storage-full | storage-failed
   */
  save(session: SessionFile): Promise<string>;
  /** Changes whenever anybody writes the session's file; undefined when there is none. */
  stamp(sessionId: string): string | undefined;
  /** Newest first. Files that cannot be read are named in `corrupt` and left where they are. */
  list(): Promise<{ sessions: SessionSummary[]; corrupt: string[] }>;
  /** Removes the file and its side directory. @throws OptaError not-found | session-locked */
  delete(sessionId: string): Promise<void>;
  /**
   * Makes this process the session's only writer. Held by the kernel: it dies with the process.
   * @throws OptaError session-locked, naming the holder's pid and since when
   */
  lock(sessionId: string): Promise<SessionLock>;
  /**
   * Writes a private file (0600) into the session's own directory, sessions/<id>/<name>; an older one of that
   * name is replaced. @returns its path. @throws OptaError storage-full | storage-failed
   */
  keep(sessionId: string, name: string, text: string): Promise<string>;
  /** Where tools put output that is too long for the model: sessions/<id>/output; not created here. */
  outputDirectory(sessionId: string): string;
}

export interface SessionLock {
  release(): void;
}
