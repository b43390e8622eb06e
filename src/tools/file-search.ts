// Who searches files: ripgrep where there is one, else our own search in a worker; and how long and how much.
// Both honour .gitignore, skip hidden and binary files, and never follow links.
import { byteNameNote } from "./byte-name.ts";
import { createCommandEnvironment } from "./command-environment.ts";
import { createRipgrepFinder, type RipgrepPlaces } from "./find-ripgrep.ts";
import { searchWithRipgrep } from "./ripgrep-search.ts";
import type { Found, SearchFiles, SearchRequest } from "./search-request.ts";
import type { ToolContext } from "./tool.ts";
import { searchInWorker } from "./worker-search.ts";

export interface FileSearchOptions extends RipgrepPlaces {
  /** The variables of this process: an rg that is a shim needs some, and HOME leads to the user's global ignore file. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export function createFileSearch(options: FileSearchOptions): SearchFiles {
  const finder = createRipgrepFinder(options);
  const variables = { ...options.environment, PATH: options.toolPath };
  return async function* (request, signal) {
    const program = await finder.find(request.workspace);
    if (program === undefined) return yield* searchInWorker(request, signal);
    const environment = createCommandEnvironment(variables, request.workspace);
    yield* searchWithRipgrep({ program, environment }, request, signal);
  };
}

/** No search may take longer; a narrower path or pattern does it. */
const searchTimeoutMs = 30_000;

export interface SearchOutcome {
  readonly found: readonly Found[];
  /** Why there may be more; undefined when this is all. */
  readonly stopped: string | undefined;
}

/** Runs a search to its end, to `limit` accepted findings, or to the time limit. */
export async function collectFound(
  search: SearchFiles,
  request: SearchRequest,
  options: {
    readonly limit: number;
    readonly accept: (found: Found) => boolean;
    readonly context: Pick<ToolContext, "signal">;
  },
): Promise<SearchOutcome> {
  const { limit, accept, context } = options;
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), searchTimeoutMs);
  const found: Found[] = [];
  try {
    for await (const batch of search(request, AbortSignal.any([context.signal, timeout.signal]))) {
      for (const one of batch) if (accept(one)) found.push(marked(one));
      if (found.length > limit) {
        return { found: found.slice(0, limit), stopped: `stopped after ${limit}; narrow it down` };
      }
    }
  } finally {
    clearTimeout(timer);
  }
  if (context.signal.aborted) return { found, stopped: "cancelled" };
  const seconds = searchTimeoutMs / 1_000;
  return {
    found,
    stopped: timeout.signal.aborted ? `timed out after ${seconds} s; narrow it down` : undefined,
  };
}

/** Judged without the note, shown with it. */
function marked(one: Found): Found {
  return one.hasByteName ? { ...one, path: one.path + byteNameNote } : one;
}
