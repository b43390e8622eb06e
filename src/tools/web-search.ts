// web_search: titles, addresses and excerpts from the SearXNG instance the user configured. Its address may be
// private, since the user chose it; for the same reason no redirect is followed.
import * as z from "zod";
import { capText } from "./output-cap.ts";
import { defineTool } from "./tool.ts";
import type { Tool, ToolContext, ToolResult } from "./tool.ts";
import { decodeBody, requestWeb, withTimeLimit } from "./web-request.ts";
import type { WebAnswer } from "./web-request.ts";

export interface WebSearchOptions {
  /** Base URL; undefined: the tool says how to set it. */
  readonly searxngUrl: string | undefined;
}

const defaultMaxResults = 5;
/** Of one excerpt. */
const maxExcerptChars = 500;

const parameters = z.object({
  query: z.string().min(1),
  max_results: z.number().int().min(1).max(20).optional().describe("default 5"),
});

/** What is used of SearXNG's answer (docs.searxng.org, Search API, format=json). */
const answerSchema = z.object({
  results: z.array(
    z.object({ title: z.string().nullish(), url: z.string(), content: z.string().nullish() }),
  ),
});

const failure = (text: string): ToolResult => ({ ok: false, text });

export function createWebSearchTool({ searxngUrl }: WebSearchOptions): Tool {
  return defineTool({
    name: "web_search",
    description: "Search the web.",
    parameters,
    readOnly: true,
    async effects() {
      if (searxngUrl === undefined) return [];
      const { hostname, port, protocol } = new URL(searxngUrl);
      return [
        { kind: "network", host: `${hostname}:${port || (protocol === "https:" ? "443" : "80")}` },
      ];
    },
    async run({ query, max_results = defaultMaxResults }, context) {
      if (searxngUrl === undefined) {
        return failure(
          "no search server is configured; the user can set one: opta config set web.searxngUrl http://HOST:PORT",
        );
      }
      return search({ base: searxngUrl, query, maxResults: max_results }, context);
    },
  });
}

async function search(
  request: { readonly base: string; readonly query: string; readonly maxResults: number },
  context: ToolContext,
): Promise<ToolResult> {
  const base = request.base.endsWith("/") ? request.base : `${request.base}/`;
  const url = new URL("search", base);
  url.searchParams.set("q", request.query);
  url.searchParams.set("format", "json");
  let answer: WebAnswer;
  try {
    const signal = withTimeLimit(context.signal);
    answer = await requestWeb({ url, accept: "application/json", signal });
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    return failure(`the search server at ${url.host} cannot be reached: ${what}`);
  }
  if (answer.status === 403) {
    return failure(
      `the search server at ${url.host} refused (403): its settings must list json under search.formats`,
    );
  }
  if (answer.status !== 200) {
    return failure(
      `the search server at ${url.host} answered ${answer.status}; no redirect is followed`,
    );
  }
  const results = readResults(decodeBody(answer));
  if (results === undefined) {
    return failure(
      `the search server at ${url.host} did not answer as SearXNG does with format=json`,
    );
  }
  if (results.length === 0) return { ok: true, text: `nothing found for ${request.query}` };
  const entries = results.slice(0, request.maxResults).map(formatResult);
  return { ok: true, text: await capText(entries.join("\n\n"), { context, name: "search" }) };
}

type Results = z.infer<typeof answerSchema>["results"];

function readResults(text: string): Results | undefined {
  try {
    return answerSchema.safeParse(JSON.parse(text)).data?.results;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function formatResult(result: Results[number], index: number): string {
  const line = (text: string | null | undefined) => (text ?? "").replace(/\s+/g, " ").trim();
  const lines = [`${index + 1}. ${line(result.title)}`, result.url];
  const excerpt = line(result.content).slice(0, maxExcerptChars);
  return (excerpt === "" ? lines : [...lines, excerpt]).join("\n   ");
}
