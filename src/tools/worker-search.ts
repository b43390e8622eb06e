// Our side of search-worker.ts: starts it, hands on what it finds, and terminates it when the search is over,
// given up or cancelled, even while it hangs in a regular expression.
import { createAsyncQueue } from "../base/async-queue.ts";
import type { Found, SearchRequest } from "./search-request.ts";
import { ToolFailure } from "./tool-failure.ts";

export type SearchMessage =
  | { readonly kind: "found"; readonly found: readonly Found[] }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly message: string };

/**
 * In the executable a module's own URL is that of the chunk it was bundled into, while entry points keep their
 * place below the build's root, src/.
 */
const workerUrl = import.meta.url.includes("/$bunfs/")
  ? "file:///$bunfs/root/tools/search-worker.ts"
  : new URL("./search-worker.ts", import.meta.url).href;

/** @throws ToolFailure when the pattern is no regular expression, or the root cannot be read */
export async function* searchInWorker(
  request: SearchRequest,
  signal: AbortSignal,
): AsyncGenerator<readonly Found[]> {
  if (signal.aborted) return;
  const messages = createAsyncQueue<SearchMessage>();
  const worker = new Worker(workerUrl);
  const stop = () => messages.end();
  signal.addEventListener("abort", stop, { once: true });
  worker.addEventListener("message", ({ data }: MessageEvent<SearchMessage>) =>
    messages.push(data),
  );
  worker.addEventListener("error", ({ message }) => messages.push({ kind: "failed", message }));
  worker.postMessage(request);
  try {
    for await (const message of messages) {
      if (message.kind === "done") return;
      if (message.kind === "failed") throw new ToolFailure(message.message);
      yield message.found;
    }
  } finally {
    signal.removeEventListener("abort", stop);
    worker.terminate();
  }
}
