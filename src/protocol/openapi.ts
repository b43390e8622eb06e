// Placeholder replaced below.
export function describeApi(version: string): object {
  return { openapi: "3.1.0", info: { title: "opta daemon", version }, paths: {} };
}
