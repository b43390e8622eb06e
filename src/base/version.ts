// The version of this build. scripts/build.ts defines OPTA_VERSION from package.json; a run from source has none.
declare const OPTA_VERSION: string | undefined;

export const version: string = typeof OPTA_VERSION === "string" ? OPTA_VERSION : "0.0.0-dev";
