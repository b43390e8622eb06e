// Errors under /v3/lmx, in the words that existing clients read. Free of schemas, as every attached client has it.
import type { ErrorCode, OptaError } from "./error.ts";

/** Codes that existing clients know by another name. */
const wireCodes: ReadonlyMap<string, string> = new Map<ErrorCode, string>([
  ["lmx-connection-refused", "connection_error"],
  ["auth-failed", "upstream_auth"],
]);

/** The `code` of an error answer under /v3/lmx. */
export function lmxErrorCode(code: ErrorCode): string {
  return wireCodes.get(code) ?? code;
}

/**
 * What an error answer says. An existing client takes "401", "403" or "unauthorized" anywhere in it for a refusal of
 * its own token (contracts/daemon-v3.md section 2): what the model server said of our key must not get there.
 */
export function lmxErrorMessage({ code, message }: OptaError): string {
  return code === "auth-failed" ? "the model server refused opta's key" : message;
}

/** The same read back: a code of ours, or what else the answer said. */
export function fromLmxErrorCode(wireCode: string): string {
  return [...wireCodes].find(([, known]) => known === wireCode)?.[0] ?? wireCode;
}
