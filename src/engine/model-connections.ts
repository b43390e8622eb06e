// Connections to models that are begun before a turn asks: the connection of a session is under way while its turn
// is put together. One per model; the first turn that wants the same takes it over.
import { orAborted } from "../base/or-aborted.ts";
import type { SessionFile } from "../protocol/session.ts";
import type { Provider, ResolvedModel } from "../providers/provider.ts";
import type { EngineSettings } from "./engine-settings.ts";

export interface ModelConnections {
  /** Begins to connect. `model` undefined: the one that is loaded. */
  warm(model: string | undefined): void;
  connect(
    model: string | undefined,
    options: { readonly provider: Provider; readonly signal: AbortSignal },
  ): Promise<ResolvedModel>;
  /** The model a session goes on with. One that another provider chose means nothing to this one. */
  ofSession(file: SessionFile): string | undefined;
  /** Ends what was begun. */
  close(): void;
}

interface Begun {
  readonly connecting: Promise<ResolvedModel>;
  readonly atMs: number;
}

/** A turn follows its session at once; what was begun longer ago may no longer be true. */
const freshMs = 10_000;

export function createModelConnections(settings: () => EngineSettings): ModelConnections {
  const closing = new AbortController();
  /** By provider, because settings and with them the provider may change meanwhile. */
  const begun = new WeakMap<Provider, Map<string | undefined, Begun>>();

  return {
    warm(model) {
      const { provider } = settings();
      const connecting = provider.connect(model, closing.signal);
      connecting.catch(() => undefined); // the turn that takes it over reports it
      const ofProvider = begun.get(provider) ?? new Map<string | undefined, Begun>();
      begun.set(provider, ofProvider.set(model, { connecting, atMs: performance.now() }));
    },
    connect(model, { provider, signal }) {
      const ofProvider = begun.get(provider);
      const warmed = ofProvider?.get(model);
      ofProvider?.delete(model);
      const isFresh = warmed !== undefined && performance.now() - warmed.atMs < freshMs;
      return isFresh ? orAborted(warmed.connecting, signal) : provider.connect(model, signal);
    },
    ofSession(file) {
      const { provider, model } = settings();
      const isOurs = (file.metadata.provider ?? "lmx") === provider.id;
      return (isOurs && file.model) || model;
    },
    close: () => closing.abort(),
  };
}
