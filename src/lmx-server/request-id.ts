// The server's id of a model request: `chatcmpl-` and 22 characters of URL-safe base64 (contracts/lmx.md section 1).

export function createRequestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `chatcmpl-${bytes.toBase64({ alphabet: "base64url", omitPadding: true })}`;
}
