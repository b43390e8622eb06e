// Loading a model to the end, with the question before gigabytes are fetched (contracts/lmx.md row 17). The
// download is the server's: whoever stops watching it stops nothing.
import { sleep, systemClock } from "../base/clock.ts";
import { stripTerminalText } from "../base/terminal-text.ts";
import type { Client } from "../client/client.ts";
import { OptaError } from "../protocol/error.ts";
import type { LoadResult } from "../protocol/model.ts";
import { onInterrupt } from "./interrupt.ts";
import { findModel } from "../protocol/find-model.ts";
import type { Io } from "./output/io.ts";
import { createStatusLine, formatTransfer, withProgress } from "./output/progress.ts";
import { formatBytes } from "./output/quantity.ts";

type Loaded = Extract<LoadResult, { status: "loaded" }>;

export interface LoadOptions {
  readonly client: Client;
  readonly io: Io;
  readonly server: string;
  /** In full. */
  readonly modelId: string;
  /** The answer to the question about a download, for scripts. */
  readonly yes: boolean;
}

const pollMs = 500;
/** Lost answers in a row after which the server counts as gone. */
const maxLostPolls = 10;
/** The server loads a fetched model by itself, and only its log tells when that failed. */
const autoLoadMs = 10 * 60_000;

/**
 * @throws OptaError not-found: it must be downloaded and nobody said yes | cancelled: Ctrl+C while it downloads |
 *   model-server-failed: the download failed | those of lmx.load
 */
export async function loadToEnd(options: LoadOptions): Promise<Loaded> {
  const { client, io, server, modelId } = options;
  const label = `loading ${clean(modelId)} on ${server}`;
  const result = await withProgress(io, label, client.call("lmx.load", { modelId }));
  switch (result.status) {
    case "loaded":
      return result;
    case "downloading":
      return followDownload(result.downloadId, options);
    case "download-required": {
      await requireConsent(result, options);
      const { confirmationToken } = result;
      const started = await client.call("lmx.download", { modelId, confirmationToken });
      if (started.status === "loaded") return started;
      if (started.status === "downloading") return followDownload(started.downloadId, options);
      throw new OptaError("model-server-failed", `${server} asks again instead of downloading`);
    }
  }
}

async function requireConsent(
  question: Extract<LoadResult, { status: "download-required" }>,
  { io, server, modelId, yes }: LoadOptions,
): Promise<void> {
  if (yes) return;
  const size = question.sizeBytes === null ? "of unknown size" : formatBytes(question.sizeBytes);
  const missing = `${clean(modelId)} is not on the disk of ${server}`;
  const input = io.isTerminal(2) ? io.openTerminal() : undefined;
  if (input === undefined) {
    throw new OptaError(
      "not-found",
      `${missing}; loading it downloads it (${size})`,
      `opta models load ${modelId} --yes`,
    );
  }
  io.stderr.write(`${missing}. Download it (${size})? [y]es  [n]o, then Enter: `);
  if (/^y(es)?$/i.test((await readLine(input())).trim())) return;
  throw new OptaError("not-found", `${modelId} was not downloaded`);
}

/** The first line; "" at the end of input. */
async function readLine(input: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of input) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes("\n")) break;
  }
  return text.split("\n", 1)[0] ?? "";
}

async function followDownload(downloadId: string, options: LoadOptions): Promise<Loaded> {
  const { io, server, modelId } = options;
  const stop = new AbortController();
  const stopListening = onInterrupt(() => stop.abort());
  const line = createStatusLine(io, { output: io.stderr, dim: io.style(2).dim });
  const show = (text: string) => {
    if (io.isTerminal(2)) line.show(text);
  };
  try {
    await pollDownload(downloadId, { ...options, show, signal: stop.signal });
    show(`${server} has it and loads it`);
    return await pollLoaded({ ...options, signal: stop.signal });
  } catch (thrown) {
    if (!stop.signal.aborted) throw thrown;
    line.clear();
    throw new OptaError(
      "cancelled",
      `${server} goes on downloading ${modelId}, and loads it when that is done`,
      "to look again: opta models list",
    );
  } finally {
    line.clear();
    stopListening();
  }
}

async function pollDownload(
  downloadId: string,
  options: LoadOptions & {
    readonly show: (text: string) => void;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { client, server, modelId, show, signal } = options;
  const startedMs = performance.now();
  let startBytes: number | undefined;
  for (let lost = 0; ;) {
    const progress = await client
      .call("lmx.downloadProgress", { downloadId }, { signal })
      .catch((thrown: unknown) => {
        lost += 1;
        if (signal.aborted || lost >= maxLostPolls) throw thrown;
        return undefined;
      });
    if (progress !== undefined) {
      lost = 0;
      const { status, downloadedBytes, totalBytes, error } = progress;
      if (status === "completed") return;
      if (status !== "downloading") {
        const why = error === null ? "" : `: ${clean(error)}`;
        const message = `${server}: the download of ${modelId} ${status === "failed" ? "failed" : "was cancelled"}${why}`;
        throw new OptaError("model-server-failed", message, `opta models load ${modelId}`);
      }
      startBytes ??= downloadedBytes;
      const seconds = (performance.now() - startedMs) / 1000;
      const bytesPerSecond = seconds < 1 ? null : (downloadedBytes - startBytes) / seconds;
      const bar = formatTransfer({ doneBytes: downloadedBytes, totalBytes, bytesPerSecond });
      show(`downloading ${clean(modelId)}  ${bar}`);
    }
    await pause(signal);
  }
}

async function pollLoaded(
  options: LoadOptions & { readonly signal: AbortSignal },
): Promise<Loaded> {
  const { client, server, modelId, signal } = options;
  const startedMs = performance.now();
  while (performance.now() - startedMs < autoLoadMs) {
    const { models } = await client.call("lmx.models", {}, { signal });
    const found = findModel(models, modelId);
    if (found?.state === "loaded") {
      return {
        status: "loaded",
        modelId: found.modelId,
        memoryBytes: found.sizeBytes,
        loadTimeMs: null,
      };
    }
    await pause(signal);
  }
  throw new OptaError(
    "state-conflict",
    `${modelId} is downloaded, but ${server} has not loaded it`,
    `opta models load ${modelId}`,
  );
}

/** @throws when the signal aborts */
async function pause(signal: AbortSignal): Promise<void> {
  await sleep(pollMs, { clock: systemClock, signal });
  signal.throwIfAborted();
}

function clean(text: string): string {
  return stripTerminalText(text);
}
