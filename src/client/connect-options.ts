// What decides which client a command gets.
import type { AppOptions } from "../app.ts";
import type { DaemonHealth } from "./daemon-address.ts";

/** "embedded": never the daemon; "attach": only the daemon. */
export type ConnectMode = "either" | "embedded" | "attach";

export interface ConnectOptions extends Omit<AppOptions, "config" | "daemonId"> {
  readonly mode: ConnectMode;
  /** Asked only where no daemon does the work. @throws OptaError config-invalid */
  readonly loadConfig: () => Promise<Pick<AppOptions, "config">>;
  /**
   * Whether the daemon would do what this process would, by the digests of its settings, keyed by its token.
   * @throws OptaError config-invalid
   */
  readonly isSameWork: (health: DaemonHealth, token: string) => Promise<boolean>;
  /** Something the user should know, as a line without its full stop. */
  readonly notice: (text: string) => void;
}
