// web_fetch: one page as readable text. A model that was talked into it must not reach this machine or its
// network: every address is checked after resolving, and the checked address is the one that is dialled. A
// redirect to another host is not followed but told, so that the new host passes the permission policy too.
import * as z from "zod";
import { capText } from "./output-cap.ts";
import { nonPublicKind, resolveBySystem } from "./public-address.ts";
import type { Resolve } from "./public-address.ts";
import { toReadableText } from "./readable-text.ts";
import { defineTool } from "./tool.ts";
import type { Tool, ToolResult } from "./tool.ts";
import { decodeBody, requestWeb, withTimeLimit } from "./web-request.ts";
import type { WebAnswer } from "./web-request.ts";

export interface WebFetchOptions {
  /** `host` or `host:port` that may resolve to private addresses. */
  readonly allowHosts: readonly string[];
  readonly resolve?: Resolve;
  /** Trusted besides the system's certificates; PEM. For tests. */
  readonly certificateAuthority?: string;
}

const maxRedirects = 5;
const defaultMaxChars = 20_000;
/** Of the body of an error answer. */
const maxErrorChars = 1_000;
const accept = "text/html,application/xhtml+xml,text/*;q=0.9,application/json;q=0.9,*/*;q=0.1";

const parameters = z.object({
  url: z.string(),
  max_chars: z.number().int().min(1).optional().describe("default 20000"),
});

export function createWebFetchTool(options: WebFetchOptions): Tool {
  return defineTool({
    name: "web_fetch",
    description: "Read a web page as text.",
    parameters,
    readOnly: true,
    async effects({ url }) {
      const checked = checkUrl(url);
      return checked.ok ? [{ kind: "network", host: hostAndPort(checked.url) }] : [];
    },
    async run({ url, max_chars = defaultMaxChars }, context) {
      const checked = checkUrl(url);
      if (!checked.ok) return failure(checked.problem);
      const fetched = await follow(checked.url, options, withTimeLimit(context.signal));
      if (!fetched.ok) return failure(fetched.problem);
      const { answer, url: final } = fetched;
      const content = await readContent(answer, final);
      if (!content.ok) return failure(content.problem);
      if (answer.status < 200 || answer.status > 299) {
        return failure(
          `${final} answered ${answer.status}\n${content.text.slice(0, maxErrorChars)}`,
        );
      }
      const text = `${final}\n\n${shorten(content.text, max_chars, answer.cut)}`;
      return { ok: true, text: await capText(text, { context, name: "page" }) };
    },
  });
}

type Checked = { readonly ok: true; readonly url: URL } | Problem;
interface Problem {
  readonly ok: false;
  readonly problem: string;
}
const refuse = (problem: string): Problem => ({ ok: false, problem });
const failure = (text: string): ToolResult => ({ ok: false, text });

function checkUrl(text: string): Checked {
  const url = URL.parse(text);
  if (url === null)
    return refuse(`${text} is not a URL; write it in full, like https://example.com/page`);
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    return refuse(`only http and https can be fetched, not ${url.protocol}`);
  }
  if (url.username !== "" || url.password !== "") {
    return refuse("a URL with a user name or password in it is not fetched");
  }
  url.hash = "";
  return { ok: true, url };
}

/** `example.com:443`, lower case. */
function hostAndPort(url: URL): string {
  return `${url.hostname}:${url.port || (url.protocol === "https:" ? "443" : "80")}`.toLowerCase();
}

async function follow(
  start: URL,
  options: WebFetchOptions,
  signal: AbortSignal,
): Promise<{ ok: true; answer: WebAnswer; url: URL } | Problem> {
  let url = start;
  for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
    const got = await get(url, options, signal);
    if (!got.ok) return got;
    const { answer } = got;
    if (answer.location === undefined || ![301, 302, 303, 307, 308].includes(answer.status)) {
      return { ok: true, answer, url };
    }
    const next = checkUrl(URL.parse(answer.location, url.href)?.href ?? answer.location);
    if (!next.ok) return refuse(`${url} redirects to ${answer.location}: ${next.problem}`);
    if (!isSameHost(url, next.url)) {
      return refuse(`${url} redirects to another host; to go on call web_fetch with ${next.url}`);
    }
    url = next.url;
  }
  return refuse(`${start} redirects more than ${maxRedirects} times`);
}

/** The same name and port; http to https is no other host. */
function isSameHost(from: URL, to: URL): boolean {
  return from.hostname === to.hostname && from.port === to.port;
}

async function get(
  url: URL,
  options: WebFetchOptions,
  signal: AbortSignal,
): Promise<{ ok: true; answer: WebAnswer } | Problem> {
  const hostname = url.hostname.replace(/^\[|\]$/g, "");
  let addresses: readonly string[];
  try {
    addresses = isLiteral(hostname) ? [hostname] : await lookUp(hostname, options, signal);
  } catch (error) {
    return refuse(`${hostname} cannot be resolved: ${message(error)}`);
  }
  if (!isAllowedHost(url, options.allowHosts)) {
    for (const address of addresses) {
      const kind = await nonPublicKind(address);
      if (kind === undefined) continue;
      return refuse(
        `${hostname} leads to ${address} (${kind}), and only public addresses are fetched; ` +
          `the user can allow the host in web.allowHosts`,
      );
    }
  }
  let problem = "it has no address";
  for (const address of addresses) {
    try {
      const { certificateAuthority } = options;
      return {
        ok: true,
        answer: await requestWeb({ url, address, accept, signal, certificateAuthority }),
      };
    } catch (error) {
      problem = message(error);
      if (signal.aborted) break;
    }
  }
  return refuse(`${url} cannot be fetched: ${problem}`);
}

/** No resolver can be told to stop; the call goes on without it. */
async function lookUp(
  hostname: string,
  { resolve = resolveBySystem }: WebFetchOptions,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { promise: stopped, reject: stop } = Promise.withResolvers<never>();
  const onAbort = () => stop(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    return await Promise.race([resolve(hostname), stopped]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** URL has already turned odd IPv4 spellings (0x7f.1, 2130706433) into the plain one. */
function isLiteral(hostname: string): boolean {
  return hostname.includes(":") || /^\d+(\.\d+){3}$/.test(hostname);
}

function isAllowedHost(url: URL, allowHosts: readonly string[]): boolean {
  const names = [url.hostname, hostAndPort(url)].map((name) => name.toLowerCase());
  return allowHosts.some((host) => names.includes(host.toLowerCase()));
}

async function readContent(
  answer: WebAnswer,
  url: URL,
): Promise<{ ok: true; text: string } | Problem> {
  const { contentType } = answer;
  if (contentType === "text/html" || contentType === "application/xhtml+xml") {
    return { ok: true, text: await toReadableText(decodeBody(answer), url.href) };
  }
  const isText =
    /^text\/|^application\/(.+\+)?(json|xml|yaml|toml|javascript|x-ndjson)$/.test(contentType) ||
    (contentType === "" && !answer.body.includes(0));
  if (isText) return { ok: true, text: decodeBody(answer) };
  const size = `${answer.cut ? "more than " : ""}${answer.body.length} bytes`;
  return refuse(`${url} is ${contentType || "of no stated type"} (${size}), which is not text`);
}

function shorten(text: string, maxChars: number, cut: boolean): string {
  if (text.length > maxChars) {
    const whole = `${cut ? "more than " : ""}${text.length}`;
    return `${text.slice(0, maxChars)}\n\n(first ${maxChars} of ${whole} characters; max_chars shows more)`;
  }
  return cut ? `${text}\n\n(the page is larger than can be fetched; this is its beginning)` : text;
}

function message(error: unknown): string {
  return error instanceof Error ? error.message.replace(/ fetching ".*$/s, "") : String(error);
}
