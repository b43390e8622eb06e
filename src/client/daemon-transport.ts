// Requests and sockets to the daemon from a process on the same machine: the token comes from state.json and travels
// in a header. A daemon that restarted has another port and token, so a failure looks again before it counts.
import { OptaError } from "../protocol/error.ts";
import type { DaemonState } from "../store/daemon-state.ts";
import type { DaemonRequest, DaemonTransport } from "./attached.ts";
import { daemonLost } from "./attached.ts";

/** @param find where the daemon is now */
export function createDaemonTransport(
  first: DaemonState,
  find: () => DaemonState | undefined,
): DaemonTransport {
  let state = first;

  /** @returns whether there is a daemon */
  function lookAgain(): boolean {
    const found = find();
    state = found ?? state;
    return found !== undefined;
  }

  async function send({ method, path, body, signal }: DaemonRequest): Promise<Response> {
    return fetch(`http://${state.host}:${state.port}${path}`, {
      method,
      headers: { authorization: `Bearer ${state.token}`, "content-type": "application/json" },
      redirect: "error",
      // Never by way of HTTP_PROXY.
      proxy: "",
      // A model may take minutes to load.
      timeout: false,
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
    } as RequestInit);
  }

  return {
    async request(request) {
      try {
        return await send(request);
      } catch (thrown) {
        if (request.signal?.aborted) throw new OptaError("cancelled", "cancelled");
        if (!lookAgain()) throw daemonLost();
        // Only what changes nothing is sent twice by itself.
        if (!request.isRepeatable) throw unanswered(thrown);
        return send(request).catch(() => {
          throw daemonLost();
        });
      }
    },
    openSocket(path) {
      return new Promise((resolve, reject) => {
        const socket = new WebSocket(`ws://${state.host}:${state.port}${path}`, {
          headers: { authorization: `Bearer ${state.token}` },
        } as never);
        socket.addEventListener("open", () => resolve(socket), { once: true });
        socket.addEventListener(
          "error",
          () => {
            lookAgain();
            reject(daemonLost());
          },
          { once: true },
        );
      });
    },
  };
}

function unanswered(thrown: unknown): OptaError {
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  return new OptaError(
    "daemon-unreachable",
    `the daemon did not answer: ${why}`,
    "opta daemon status",
  );
}
