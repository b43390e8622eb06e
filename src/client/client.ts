// The contract of a client: operations down, events up. Two kinds keep it, embedded (a function call) and
// attached (the daemon's HTTP and WebSocket); whoever holds one cannot tell which.
import type { OptaEvent } from "../protocol/event.ts";
import type { OperationName, OperationParams, OperationResult } from "../protocol/operations.ts";

export interface Client {
  /** @throws OptaError with the operation's code; whoever does the work checks params against the table (`usage`). */
  call<N extends OperationName>(
    operation: N,
    params: OperationParams<N>,
    options?: { readonly signal?: AbortSignal },
  ): Promise<OperationResult<N>>;
  /** Every event with seq > afterSeq, each once, in order, then live ones until the signal aborts. */
  events(
    sessionId: string,
    options: { readonly afterSeq: number; readonly signal: AbortSignal },
  ): AsyncIterable<OptaEvent>;
  /** Cancels what still runs and frees locks and sockets. */
  close(): Promise<void>;
}
