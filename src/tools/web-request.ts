// One GET over HTTP with bounds: no redirects, no proxy from the environment, no cookies, a cap on the body as
// unpacked. Shared by the web tools; whether the request may be made is decided before.

export interface WebRequest {
  readonly url: URL;
  /** The address that was checked: it is dialled, so that a second look-up cannot lead elsewhere. */
  readonly address?: string;
  readonly accept: string;
  readonly signal: AbortSignal;
  /** Trusted besides the system's certificates; PEM. For tests. */
  readonly certificateAuthority?: string | undefined;
}

export interface WebAnswer {
  readonly status: number;
  /** Lower case, without parameters; empty when the server does not say. */
  readonly contentType: string;
  readonly charset: string | undefined;
  readonly location: string | undefined;
  /** At most maxBodyBytes. */
  readonly body: Uint8Array;
  /** True when the body went on. */
  readonly cut: boolean;
}

/** Enough for any page a person reads; more is a download. */
const maxBodyBytes = 5 * 1024 * 1024;
/** For a whole call: look-up, redirects and bodies included. */
const timeLimitMs = 30_000;

/** `signal`, which also ends when the time of a call is up. */
export function withTimeLimit(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(timeLimitMs)]);
}

/**
 * Sends the request. Dialling an address with the name in Host and in tls.serverName keeps SNI and the
 * certificate check on the name (Bun documentation, fetch, "Connecting to a specific address").
 * @throws whatever fetch throws: refused, reset, a wrong certificate, the signal
 */
export async function requestWeb(request: WebRequest): Promise<WebAnswer> {
  const { url, address } = request;
  const target = new URL(url);
  if (address !== undefined) target.hostname = address.includes(":") ? `[${address}]` : address;
  const response = await fetch(target, {
    headers: {
      Host: url.host,
      Accept: request.accept,
      "Accept-Encoding": "gzip",
      "User-Agent": "Mozilla/5.0 (compatible; opta)",
    },
    redirect: "manual",
    proxy: false,
    keepalive: false,
    // Bun unpacks ahead of the reader; unpacking here keeps a bomb within the cap.
    decompress: false,
    tls: {
      serverName: url.hostname.replace(/\.$/, ""),
      ...(request.certificateAuthority === undefined ? {} : { ca: request.certificateAuthority }),
    },
    signal: request.signal,
  });
  const [contentType = "", ...parameters] = (response.headers.get("content-type") ?? "").split(";");
  return {
    status: response.status,
    contentType: contentType.trim().toLowerCase(),
    charset: parameters.map((text) => /^\s*charset="?([\w-]+)/i.exec(text)?.[1]).find(Boolean),
    location: response.headers.get("location") ?? undefined,
    ...(await readBody(response)),
  };
}

async function readBody(response: Response): Promise<{ body: Uint8Array; cut: boolean }> {
  const encoding = response.headers.get("content-encoding")?.toLowerCase() ?? "identity";
  if (response.body === null) return { body: new Uint8Array(), cut: false };
  if (encoding !== "identity" && encoding !== "gzip" && encoding !== "x-gzip") {
    await response.body.cancel();
    throw new Error(`the server sent ${encoding}, which was not asked for`);
  }
  const stream: ReadableStream<Uint8Array> =
    encoding === "identity"
      ? response.body
      : response.body.pipeThrough(new DecompressionStream("gzip"));
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  const reader = stream.getReader();
  while (sizeBytes <= maxBodyBytes) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    sizeBytes += value.length;
  }
  const cut = sizeBytes > maxBodyBytes;
  if (cut) await reader.cancel();
  return { body: Buffer.concat(chunks).subarray(0, maxBodyBytes), cut };
}

/** The body as text: in the charset the server names, else in the page's own, else UTF-8; never throws. */
export function decodeBody(answer: Pick<WebAnswer, "body" | "charset">): string {
  const head = Buffer.from(answer.body.subarray(0, 1024)).toString("latin1");
  const label =
    answer.charset ?? /<meta[^>]{0,200}charset=["']?([\w-]+)/i.exec(head)?.[1] ?? "utf-8";
  try {
    return new TextDecoder(label as Bun.Encoding).decode(answer.body);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return new TextDecoder().decode(answer.body); // a charset nobody knows
  }
}
