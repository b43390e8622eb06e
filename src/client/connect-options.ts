// What decides which client a command gets.
import type { AppOptions } from "../app.ts";

/** "embedded": never the daemon; "attach": only the daemon. */
export type ConnectMode = "either" | "embedded" | "attach";

export interface ConnectOptions extends Omit<AppOptions, "daemonId"> {
  /** Whether the daemon would do what this process would: its digest of the settings, keyed by its token. */
  readonly isSameWork: (token: string, digest: string) => Promise<boolean>;
  /** Something the user should know, as a line without its full stop. */
  readonly notice: (text: string) => void;
}
