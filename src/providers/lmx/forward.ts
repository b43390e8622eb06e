// A request in LMX's own words, passed on as it is: the daemon serves what LMX says of its memory, disk and
// downloads without knowing more of it. Keys and deadline are those of every other look-up.
import { OptaError } from "../../protocol/error.ts";
import type { ForwardedAnswer, ForwardRequest } from "../provider.ts";
import { keyHeaders, reasonOfFailure, timedOut, urlOn, withDeadline } from "./endpoint.ts";
import { faultFromHttp } from "./http-errors.ts";
import type { ServerAccess } from "./models.ts";

/** Nothing that LMX says of itself comes near this; a server that says more is not listened to. */
const maxAnswerBytes = 8 * 1024 * 1024;

/**
 * Any HTTP status is an answer; it is asked once.
 * @throws OptaError lmx-connection-refused | lmx-timeout | model-server-failed: no JSON, or too much of it
 */
export async function forwardRequest(
  access: ServerAccess,
  request: ForwardRequest,
): Promise<Omit<ForwardedAnswer, "fallbackHosts">> {
  const { server, clock, timeouts, signal } = access;
  const about = `${server.server}: ${pathOf(request)}`;
  const deadline = withDeadline(clock, timeouts.lookUpMs, signal);
  try {
    const response = await send(access, request, deadline.signal);
    const text = await readText(response);
    if (text === undefined) {
      const limit = `${maxAnswerBytes / 1024 ** 2} MiB`;
      throw new OptaError("model-server-failed", `${about} is larger than ${limit}`, "opta status");
    }
    return { server: server.server, ...decode(response.status, text, about) };
  } catch (thrown) {
    if (thrown instanceof OptaError) throw thrown;
    if (deadline.expired()) {
      const message = `${about} ${timedOut(timeouts.lookUpMs)}`;
      throw new OptaError("lmx-timeout", message, "opta status");
    }
    const message = `${server.server}: ${reasonOfFailure(thrown)}`;
    throw new OptaError("lmx-connection-refused", message, "opta status");
  } finally {
    deadline.stop();
  }
}

/** The path without its query, for messages. */
export function pathOf({ path }: ForwardRequest): string {
  return path.split("?", 1)[0]!;
}

/** As `requestFrom` of endpoint.ts: no redirect, no proxy, no idle timer of Bun's. */
function send(
  { server, keys }: ServerAccess,
  request: ForwardRequest,
  signal: AbortSignal,
): Promise<Response> {
  const { method, path, body } = request;
  // Set as path and query of this server, so that neither can become a host.
  const url = new URL(urlOn(server, "http", pathOf(request)));
  url.search = path.slice(pathOf(request).length);
  return fetch(url, {
    method,
    headers: {
      Accept: "application/json",
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...keyHeaders(keys),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    redirect: "error",
    proxy: false,
    timeout: false,
    signal,
  });
}

/** The whole body, unpacked; undefined as soon as it is too large. */
async function readText(response: Response): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let text = "";
  let readBytes = 0;
  for await (const chunk of response.body ?? []) {
    readBytes += chunk.byteLength;
    if (readBytes > maxAnswerBytes) return undefined; // leaving the loop closes the connection
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function decode(status: number, text: string, about: string): { status: number; body: unknown } {
  const isSuccess = status >= 200 && status < 300;
  // Whoever asked for JSON gets JSON: 204 may have no body at all.
  if (isSuccess && text.trim() === "") return { status: 200, body: {} };
  try {
    return { status, body: JSON.parse(text) };
  } catch {
    if (isSuccess) throw new OptaError("model-server-failed", `${about} is no JSON`, "opta status");
    const { message } = faultFromHttp({ status, body: text, retryAfter: null });
    return { status, body: { error: message } };
  }
}
