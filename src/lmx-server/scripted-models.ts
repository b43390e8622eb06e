// The models of a scenario: loaded, on disk or to be downloaded, with the times and failures it names. Loads
// are idempotent, and concurrent loads of one model share one promise (contracts/lmx.md section 7b).
import { createId } from "../base/ids.ts";
import type { Download, LmxModels, LoadOutcome, Refusal } from "./engine.ts";
import type { Scenario, ScenarioModel } from "./scenario.ts";

const bytesPerGb = 1024 ** 3;
/** A confirmation token works once, for so long (contracts/lmx.md section 3). */
const tokenLifeMs = 10 * 60_000;

interface Slot {
  readonly model: ScenarioModel;
  state: ScenarioModel["state"];
  /** Unix seconds. */
  loadedAt: number;
  loading: Promise<LoadOutcome> | undefined;
}

interface Transfer {
  readonly id: string;
  readonly slot: Slot;
  readonly startedAtMs: number;
}

/** `now` in milliseconds since the epoch; `sleep` resolves after milliseconds: a test may bring its own. */
export function createScriptedModels(
  { models, server }: Pick<Scenario, "models" | "server">,
  { now = Date.now, sleep = Bun.sleep }: ScriptedTime = {},
): LmxModels {
  const slots: readonly Slot[] = models.map((model) => ({
    model,
    state: model.state,
    loadedAt: now() / 1000,
    loading: undefined,
  }));
  const tokens = new Map<string, { readonly slot: Slot; readonly askedAtMs: number }>();
  const transfers: Transfer[] = [];

  async function loadFromDisk(slot: Slot): Promise<LoadOutcome> {
    const { loadMs, loadError, sizeGb } = slot.model;
    await sleep(loadMs);
    if (loadError) return { status: "refused", refusal: loadError };
    slot.state = "loaded";
    slot.loadedAt = now() / 1000;
    return { status: "loaded", memoryAfterLoadGb: sizeGb, timeToLoadMs: loadMs };
  }

  function startDownload(slot: Slot, { thenLoad }: { readonly thenLoad: boolean }) {
    const transfer = { id: createId(), slot, startedAtMs: now() };
    transfers.push(transfer);
    // Nobody waits for a load that follows by itself; its failure shows in what is loaded.
    void sleep(slot.model.downloadMs).then(async () => {
      if (slot.state === "downloadable") slot.state = "on-disk";
      if (thenLoad) await loadOnce(slot);
    });
    const { id } = slot.model;
    return { status: "downloading", modelId: id, downloadId: transfer.id } as const;
  }

  function loadOnce(slot: Slot): Promise<LoadOutcome> {
    slot.loading ??= loadFromDisk(slot).finally(() => (slot.loading = undefined));
    return slot.loading;
  }

  function toDownload({ id, slot, startedAtMs }: Transfer): Download {
    const { downloadMs } = slot.model;
    const totalBytes = toBytes(slot.model);
    const share = downloadMs === 0 ? 1 : Math.min(1, (now() - startedAtMs) / downloadMs);
    return {
      id,
      modelId: slot.model.id,
      status: share === 1 ? "completed" : "downloading",
      downloadedBytes: Math.floor(share * totalBytes),
      totalBytes,
      startedAt: startedAtMs / 1000,
      completedAt: share === 1 ? (startedAtMs + downloadMs) / 1000 : null,
    };
  }

  return {
    loaded: () =>
      slots
        .filter((slot) => slot.state === "loaded")
        .map(({ model, loadedAt }) => ({
          id: model.id,
          memoryGb: model.sizeGb,
          loadedAt,
          contextLength: model.contextLength,
          readiness: model.readiness,
        })),
    onDisk: () =>
      slots
        .filter((slot) => slot.state !== "downloadable")
        .map(({ model, loadedAt }) => ({
          id: model.id,
          sizeBytes: toBytes(model),
          downloadedAt: loadedAt,
        })),
    downloads: () => transfers.map(toDownload),
    async load(modelId, { autoDownload }) {
      const slot = slots.find((candidate) => candidate.model.id === modelId);
      if (slot?.state === "loaded")
        return { status: "loaded", memoryAfterLoadGb: null, timeToLoadMs: null };
      if (slot?.state === "on-disk") return loadOnce(slot);
      if (!server.downloads) return { status: "refused", refusal: downloadsDisabled(modelId) };
      if (!slot) return { status: "refused", refusal: unknownModel(modelId) };
      if (autoDownload) return startDownload(slot, { thenLoad: true });
      const token = `dl-${createId()}`;
      tokens.set(token, { slot, askedAtMs: now() });
      return { status: "download_required", token, sizeBytes: toBytes(slot.model) };
    },
    confirm(token) {
      const asked = tokens.get(token);
      tokens.delete(token);
      if (!asked) return { status: "refused", refusal: badToken("token_not_found") };
      if (now() - asked.askedAtMs > tokenLifeMs)
        return { status: "refused", refusal: badToken("token_expired") };
      return startDownload(asked.slot, { thenLoad: true });
    },
    download(modelId) {
      const slot = slots.find((candidate) => candidate.model.id === modelId);
      if (!server.downloads) return { status: "refused", refusal: downloadsDisabled(modelId) };
      if (!slot) return { status: "refused", refusal: unknownModel(modelId) };
      return startDownload(slot, { thenLoad: false });
    },
    unload(modelId) {
      const slot = slots.find((candidate) => candidate.model.id === modelId);
      if (slot?.state !== "loaded") return undefined;
      slot.state = "on-disk";
      return slot.model.sizeGb;
    },
    remove(modelId) {
      const slot = slots.find((candidate) => candidate.model.id === modelId);
      if (slot === undefined || slot.state === "downloadable") return "unknown";
      if (slot.state === "loaded" || slot.loading !== undefined) return "in-use";
      slot.state = "downloadable";
      return "removed";
    },
  };
}

export interface ScriptedTime {
  readonly now?: () => number;
  readonly sleep?: (durationMs: number) => Promise<void>;
}

function toBytes({ sizeGb }: ScenarioModel): number {
  return Math.round(sizeGb * bytesPerGb);
}

function downloadsDisabled(modelId: string): Refusal {
  const message = `Model '${modelId}' is not on disk and downloads are disabled`;
  return { status: 403, code: "downloads_disabled", message };
}

function unknownModel(modelId: string): Refusal {
  return { status: 404, code: "model_not_found", message: `Model '${modelId}' not found` };
}

function badToken(code: "token_not_found" | "token_expired"): Refusal {
  return { status: 404, code, message: `Confirmation token: ${code.replaceAll("_", " ")}` };
}
