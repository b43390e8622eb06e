// Models that must be fetched first: confirming a download and following it (contracts/lmx.md section 3). The
// download is the server's; asking about it changes nothing.
import { OptaError } from "../../protocol/error.ts";
import type { DownloadProgress, LoadResult } from "../../protocol/model.ts";
import { isRecord } from "./http-errors.ts";
import { loadAnswer } from "./model-admin.ts";
import { ask, toError, type ServerAccess } from "./models.ts";

/**
 * Starts a download that `load` said is necessary.
 * @throws OptaError not-found: the token was used, or is older than ten minutes | auth-failed | model-server-failed
 */
export async function confirmDownload(
  access: ServerAccess,
  question: { readonly modelId: string; readonly confirmationToken: string },
): Promise<LoadResult> {
  const { modelId, confirmationToken } = question;
  const body = JSON.stringify({ confirmation_token: confirmationToken });
  const answer = await ask(access, "/admin/models/load/confirm", body);
  if (answer.status !== 404) return loadAnswer(access, modelId, answer);
  throw new OptaError(
    "not-found",
    `${access.server.server}: the question about ${modelId} is no longer open`,
    `opta models load ${modelId}`,
  );
}

const statuses = ["downloading", "completed", "failed", "cancelled"] as const;

/** @throws OptaError not-found | auth-failed | model-server-failed */
export async function fetchDownloadProgress(
  access: ServerAccess,
  downloadId: string,
): Promise<DownloadProgress> {
  const path = `/admin/models/download/${encodeURIComponent(downloadId)}/progress`;
  const answer = await ask(access, path);
  if (answer.status === 404) {
    const message = `${access.server.server} knows no download ${downloadId}`;
    throw new OptaError("not-found", message, "opta models list");
  }
  if (answer.status !== 200 || !isRecord(answer.json)) throw toError(access, answer, "adminKey");
  const said = answer.json;
  const number = (value: unknown) => (typeof value === "number" && value >= 0 ? value : null);
  const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : null);
  return {
    downloadId,
    modelId: text(said.repo_id) ?? text(said.model_id) ?? "",
    status: statuses.find((status) => status === said.status) ?? "downloading",
    downloadedBytes: number(said.downloaded_bytes) ?? 0,
    totalBytes: number(said.total_bytes) || null,
    error: text(said.error) ?? text(said.error_code),
  };
}
