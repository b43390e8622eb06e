// What is asked of a search of files and what it answers, whoever does it.

/** Plain data: it travels to the worker. */
export interface SearchRequest {
  /** A directory or a file: absolute, links resolved. */
  readonly root: string;
  readonly workspace: string;
  /** Also look at names that begin with a dot (.git excepted). */
  readonly hidden: boolean;
  /** A regular expression for lines; undefined lists the files. */
  readonly pattern: string | undefined;
  /** Only files whose path passes (file-glob.ts). */
  readonly glob: string | undefined;
}

export interface Found {
  /** Relative to the workspace, or absolute when outside. */
  readonly path: string;
  /** The path is not UTF-8 and stands here escaped (byte-name.ts). */
  readonly hasByteName?: true;
  /** The matching line, its number 1-based; undefined when files are listed. */
  readonly line?: { readonly number: number; readonly text: string };
}

/**
 * Found things as they come, in batches. Ends early, without an error, when `signal` aborts; leaving the loop
 * ends the search too. Matches come sorted by path and line; listed files in no order.
 * @throws ToolFailure for a pattern that is no regular expression; for a root that is not where it was judged
 */
export type SearchFiles = (
  request: SearchRequest,
  signal: AbortSignal,
) => AsyncIterable<readonly Found[]>;
