// The socket /v1/chat/stream: which frame is what, and which requests run on it (contracts/lmx.md section 1).
// How one request is answered is in socket-answer.ts.
import { errorFrame } from "./chat-frames.ts";
import { parseJsonObject } from "./json-text.ts";
import { answerOnSocket } from "./socket-answer.ts";
import type { ChatSocketOptions, SocketData } from "./socket-answer.ts";

export function createChatSocket(options: ChatSocketOptions): Bun.WebSocketHandler<SocketData> {
  return {
    message(socket, data) {
      const { path, headers, connection, running } = socket.data;
      const frame = typeof data === "string" ? parseJsonObject(data) : undefined;
      const recorder = options.log.record({
        transport: "websocket",
        method: "FRAME",
        path,
        headers,
        connection,
        body: typeof data === "string" ? data : data.toString("latin1"),
        isModelRequest: frame?.["type"] === "chat.request",
      });
      if (frame?.["type"] === "chat.request") {
        void answerOnSocket(socket, { ...options, frame, recorder });
        return;
      }
      recorder.end(frame ? "done" : "error");
      if (!frame)
        socket.close(1000); // without a word, as LMX does
      else if (frame["type"] === "chat.cancel")
        running.get(String(frame["request_id"]))?.abort("cancelled");
      else
        socket.send(
          errorFrame(null, { message: `Unknown message type: ${String(frame["type"])}` }),
        );
    },
    drain: ({ data }) => wake(data),
    close({ data }) {
      for (const request of data.running.values()) request.abort("gone");
      wake(data);
    },
  };
}

function wake({ waiting }: SocketData): void {
  for (const resolve of waiting) resolve();
  waiting.clear();
}
