import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { apiDocs, apiDocsPath } from "../../scripts/api-docs.ts";

test("docs/daemon-api.md is what `bun scripts/api-docs.ts` writes", () => {
  expect(readFileSync(apiDocsPath, "utf8")).toBe(apiDocs());
});
