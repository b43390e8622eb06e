// Everything that reached the server, in order of arrival, with its bytes and times: what tests and
// benchmarks look at afterwards. It keeps all of it, which is right for a scripted server only.

/** One HTTP request, one WebSocket upgrade or one frame from a client. */
export interface RecordedRequest {
  readonly transport: "http" | "upgrade" | "websocket";
  readonly method: string;
  readonly path: string;
  /** Names in lower case; of a frame, those of its upgrade. */
  readonly headers: Readonly<Record<string, string>>;
  /** Numbers the sockets from 1; null for plain HTTP. */
  readonly connection: number | null;
  /** The body or frame exactly as received. */
  readonly body: string;
  /** Milliseconds since the epoch with fractions, as are all times here. */
  readonly receivedAtMs: number;
  /** Null until a frame (SSE chunk, response) was handed to the socket. */
  readonly firstFrameAtMs: number | null;
  readonly lastFrameAtMs: number | null;
  readonly framesSent: number;
  readonly outcome: RequestOutcome;
}

/** `gone`: the client left first. `fault`: the engine broke the connection or fell silent. */
export type RequestOutcome = "pending" | "done" | "error" | "cancelled" | "gone" | "fault";

/** How the server writes a record while it answers. */
export interface RequestRecorder {
  sent(frames: number): void;
  end(outcome: RequestOutcome): void;
}

export interface RequestLog {
  /** All of it. */
  readonly traffic: readonly RecordedRequest[];
  /** The model requests alone: `chat.request` frames and POST /v1/chat/completions. */
  readonly requests: readonly RecordedRequest[];
  record(arrival: Arrival): RequestRecorder;
}

export type Arrival = Pick<
  RecordedRequest,
  "transport" | "method" | "path" | "headers" | "connection" | "body"
> & { readonly isModelRequest: boolean };

type Writable<T> = { -readonly [K in keyof T]: T[K] };

export function createRequestLog(): RequestLog {
  const traffic: RecordedRequest[] = [];
  const requests: RecordedRequest[] = [];
  return {
    traffic,
    requests,
    record({ isModelRequest, ...arrival }) {
      const entry: Writable<RecordedRequest> = {
        ...arrival,
        receivedAtMs: epochMs(),
        firstFrameAtMs: null,
        lastFrameAtMs: null,
        framesSent: 0,
        outcome: "pending",
      };
      traffic.push(entry);
      if (isModelRequest) requests.push(entry);
      return {
        sent(frames) {
          if (frames === 0) return;
          entry.lastFrameAtMs = epochMs();
          entry.firstFrameAtMs ??= entry.lastFrameAtMs;
          entry.framesSent += frames;
        },
        end(outcome) {
          if (entry.outcome === "pending") entry.outcome = outcome;
        },
      };
    },
  };
}

/** Finer than Date.now(), and comparable between processes of one machine. */
function epochMs(): number {
  return performance.timeOrigin + performance.now();
}
