// The contract of a tool. A tool says what it would touch (effects) and does it (run); whether it may is
// decided elsewhere, by one policy. A tool never asks, prints or reads configuration of its own accord.
import type * as z from "zod";
import type { Effect } from "../protocol/permission.ts";

/** What the model gets back. `ok: false` is a failure the model can act on; a throw is a defect of ours. */
export interface ToolResult {
  readonly ok: boolean;
  /** Already capped (see output-cap.ts); exactly what the model reads. */
  readonly text: string;
}

/** What a tool may use while it runs; made by the engine for each call. */
export interface ToolContext {
  /** The session's workspace: absolute, symbolic links resolved. Relative paths start here. */
  readonly workspace: string;
  /** PATH for programs that the tool starts, where it is not that of this process: whoever works in the session has it. */
  readonly toolPath?: string | undefined;
  /** A 0700 directory of this session for output that is too long for the model; made on first use by the tool. */
  readonly outputDirectory: string;
  /** Unique within the session; names output files. */
  readonly callId: string;
  /** What the model has read so far, so that an edit of a file that changed since is refused. Lives as long as the session. */
  readonly files: FileLedger;
  /**
   * What the policy judged for this very call. Tools that touch files resolve their paths again and refuse
   * one that is not among these (promises F4). The engine always sets it.
   */
  readonly effects: readonly Effect[];
  /**
   * For what a directory tool finds below what it was permitted to read: may the content of this file be in the
   * result? No for secrets, and for what a rule denies or asks about. The path is absolute, links resolved.
   */
  mayRead(path: string): boolean;
  /** May this name be in the result? No for what a rule of the user denies or asks about. */
  mayList(path: string): boolean;
  /** The answer the user gave with the permission (ask_user), if any. */
  readonly answer?: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * `ok: true`: what the call would do (a unified diff for edits). `ok: false`: why it would fail or change
 * nothing, as the model reads it; like a result it may quote the files it is about.
 */
export interface ToolPreview {
  readonly ok: boolean;
  readonly text: string;
}

/** A tool as the engine sees it. `Args` is the parsed form of `parameters`. */
export interface Tool<Args = unknown> {
  readonly name: string;
  /** For the model: short, because every byte is sent with every request. */
  readonly description: string;
  readonly parameters: z.ZodType<Args>;
  /** True when calls have no side effects, so that several of one step may run at once. */
  readonly readOnly: boolean;
  /**
   * What the call would touch. Resolves symbolic links; throws nothing: a path that cannot be resolved is
   * named as given and `run` reports it.
   */
  effects(args: Args, workspace: string): Promise<readonly Effect[]>;
  /**
   * For a question to the user: what would happen, or why nothing would, found out without touching anything.
   * Undefined when the arguments say it all.
   */
  preview?(
    args: Args,
    context: Pick<ToolContext, "workspace" | "files">,
  ): Promise<ToolPreview | undefined>;
  run(args: Args, context: ToolContext): Promise<ToolResult>;
}

/** Identity of a file's content when the model last saw it. */
export interface FileStamp {
  readonly sizeBytes: number;
  readonly modifiedNs: bigint;
  /** Bun.hash over the bytes. */
  readonly hash: bigint;
}

/** Absolute resolved path -> what the model last saw there. */
export type FileLedger = Map<string, FileStamp>;

/** Keeps a tool's argument type together with its schema, then forgets it for the list. */
export function defineTool<Args>(tool: Tool<Args>): Tool {
  return tool as Tool;
}
