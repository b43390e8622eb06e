// What decides which client a command gets.
import type { AppOptions } from "../app.ts";

export interface ConnectOptions extends Omit<AppOptions, "daemonId"> {
  /** "embedded": never the daemon; "attach": only the daemon. */
  readonly mode: "either" | "embedded" | "attach";
  /** Whether the daemon would do what this process would: its digest of the settings, keyed by its token. */
  readonly isSameWork: (token: string, digest: string) => Promise<boolean>;
  /** Something the user should know, as a line without its full stop. */
  readonly notice: (text: string) => void;
}
