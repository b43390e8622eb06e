// What the user knows of a model better than its server (config `models`), found by the model's id. Pure.

/** Absent: as the server, or the model's family, has it. */
export interface ModelSettings {
  /** Tokens. */
  readonly window?: number | undefined;
  readonly reasoning?: "resend" | "drop" | undefined;
  readonly parallelTools?: boolean | undefined;
  readonly temperature?: number | undefined;
}

/** Model id, or its part after the last "/" -> its settings. */
export type ModelSettingsTable = Readonly<Record<string, ModelSettings>>;

/** The settings for a model: those under its id, else under its letters in another case, else under its tail. */
export function settingsFor(table: ModelSettingsTable, modelId: string): ModelSettings {
  const lower = modelId.toLowerCase();
  const names = Object.keys(table);
  const name =
    names.find((candidate) => candidate === modelId) ??
    names.find((candidate) => candidate.toLowerCase() === lower) ??
    names.find((candidate) => tailOf(candidate) === tailOf(lower) && !candidate.includes("/"));
  return (name === undefined ? undefined : table[name]) ?? {};
}

function tailOf(id: string): string {
  const lower = id.toLowerCase();
  return lower.slice(lower.lastIndexOf("/") + 1);
}
