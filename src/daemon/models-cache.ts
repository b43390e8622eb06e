// The answer of GET /v3/lmx/models, kept for a moment: existing clients ask for it every few seconds, each for
// itself, with an ETag (contracts/daemon-v3.md section 2). Knows no HTTP and nothing of models: a text and its tag.
import { orAborted } from "../base/or-aborted.ts";

export interface ModelsCache {
  /**
   * The text that is true now, or was at most 4.5 s ago; 304 and "" for who has it already.
   * Callers that come while it is loaded wait for the same load; it is aborted when all of them have gone.
   * @throws what `load` throws, to all who waited for it; the next call loads anew. The signal's reason on abort.
   */
  answer(request: {
    /** The header as it came. */
    readonly ifNoneMatch: string | null | undefined;
    readonly signal: AbortSignal;
  }): Promise<ModelsAnswer>;
  /** What was kept is no longer true: a model was loaded, unloaded or deleted. */
  forget(): void;
}

export interface ModelsAnswer {
  readonly status: 200 | 304;
  /** Strong, in quotes. */
  readonly etag: string;
  readonly text: string;
}

export interface ModelsCacheOptions {
  /** Milliseconds; never jumps back. */
  readonly nowMs: () => number;
  /** JSON text. */
  readonly load: (signal: AbortSignal) => Promise<string>;
}

/** As long as the daemon that existing clients were made for kept it. */
const keepMs = 4_500;

interface Kept {
  readonly text: string;
  readonly etag: string;
  readonly atMs: number;
}

interface Loading {
  readonly kept: Promise<Kept>;
  readonly abort: AbortController;
  waiting: number;
}

export function createModelsCache({ nowMs, load }: ModelsCacheOptions): ModelsCache {
  let kept: Kept | undefined;
  let loading: Loading | undefined;

  function start(): Loading {
    const abort = new AbortController();
    const started: Loading = { kept: loadOnce(abort.signal), abort, waiting: 0 };
    const isCurrent = () => loading === started;
    started.kept.then(
      (fresh) => {
        if (!isCurrent()) return;
        kept = fresh;
        loading = undefined;
      },
      () => {
        if (isCurrent()) loading = undefined;
      },
    );
    return started;
  }

  async function loadOnce(signal: AbortSignal): Promise<Kept> {
    const text = await load(signal);
    return { text, etag: toEtag(text), atMs: nowMs() };
  }

  async function wait(signal: AbortSignal): Promise<Kept> {
    const shared = (loading ??= start());
    shared.waiting += 1;
    try {
      return await orAborted(shared.kept, signal);
    } finally {
      shared.waiting -= 1;
      if (shared.waiting === 0) leave(shared);
    }
  }

  /** Nobody waits any more: if it still runs, what comes of it is of no use. */
  function leave(shared: Loading): void {
    if (loading === shared) loading = undefined;
    shared.abort.abort();
  }

  return {
    async answer({ ifNoneMatch, signal }) {
      const isFresh = kept !== undefined && nowMs() - kept.atMs < keepMs;
      const { text, etag } = kept !== undefined && isFresh ? kept : await wait(signal);
      if (names(ifNoneMatch ?? "", etag)) return { status: 304, etag, text: "" };
      return { status: 200, etag, text };
    },
    forget() {
      kept = undefined;
      loading = undefined;
    },
  };
}

function toEtag(text: string): string {
  return `"${new Bun.CryptoHasher("sha256").update(text).digest("hex")}"`;
}

/** If-None-Match: a list of tags, or `*`; a proxy may have weakened them (RFC 9110 section 13.1.2). */
function names(ifNoneMatch: string, etag: string): boolean {
  const tags = ifNoneMatch.split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  return tags.some((tag) => tag === "*" || tag === etag);
}
