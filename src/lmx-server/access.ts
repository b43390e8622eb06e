// Who may ask what: an inference key for /v1 and the socket (401), an admin key for /admin (403), both only
// when they are set (contracts/lmx.md sections 2, 3 and 7b). Keys travel in headers, never in a URL.
import type { Refusal } from "./engine.ts";

export interface ServerKeys {
  readonly adminKey?: string | undefined;
  readonly apiKey?: string | undefined;
}

/** 401 unless one of Authorization: Bearer, X-Api-Key or X-Admin-Key opens inference. */
export function refuseInference(headers: Headers, keys: ServerKeys): Refusal | undefined {
  if (keys.apiKey === undefined) return undefined;
  const bearer = /^Bearer (.+)$/i.exec(headers.get("authorization") ?? "")?.[1];
  const opens =
    isKey(bearer, keys.apiKey) ||
    isKey(headers.get("x-api-key"), keys.apiKey) ||
    isKey(headers.get("x-admin-key"), keys.adminKey);
  if (opens) return undefined;
  return { status: 401, code: "invalid_api_key", message: "Invalid or missing API key" };
}

/** As for inference; besides, 403 when an admin key was sent and is wrong. */
export function refuseUpgrade(headers: Headers, keys: ServerKeys): Refusal | undefined {
  const refused = refuseInference(headers, keys);
  const sent = headers.get("x-admin-key");
  if (refused || sent === null || isKey(sent, keys.adminKey)) return refused;
  return keys.adminKey === undefined || keys.apiKey !== undefined ? undefined : wrongAdminKey;
}

/** 403 unless X-Admin-Key is right; a Bearer key does not open /admin. */
export function refuseAdmin(headers: Headers, keys: ServerKeys): Refusal | undefined {
  if (keys.adminKey === undefined || isKey(headers.get("x-admin-key"), keys.adminKey))
    return undefined;
  return wrongAdminKey;
}

const wrongAdminKey: Refusal = {
  status: 403,
  code: "invalid_admin_key",
  message: "Invalid or missing admin key",
};

/** Compares digests, so that timing says nothing about the key. */
function isKey(given: string | null | undefined, key: string | undefined): boolean {
  if (given === null || given === undefined || key === undefined) return false;
  return sha256(given) === sha256(key);
}

function sha256(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}
