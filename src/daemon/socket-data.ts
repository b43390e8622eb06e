// What the daemon remembers of one WebSocket.
import type { Admission } from "./access.ts";
import type { Dialect } from "../protocol/dialect.ts";
import type { Follower } from "./followers.ts";
import type { Pinged } from "./socket-pings.ts";

export interface SocketData {
  readonly sessionId: string;
  readonly afterSeq: number;
  readonly dialect: Dialect;
  readonly admission: Admission;
  /** No page has it open any more. */
  leavePages: () => void;
  follower: Follower | undefined;
  pinged: Pinged | undefined;
  /** Commands that are not answered yet. */
  pending: number;
  /** Commands that came while too many were pending. */
  refused: number;
}
