// What a chat request needs to please each kind of server (contracts/text-tool-calls.md, "What local servers
// do to requests"). LMX takes everything as it is.
import type { ServerKind } from "../../protocol/model.ts";

export interface RequestStyle {
  /** stream_options.include_usage, which every known kind answers with a last chunk; some unknown ones refuse it. */
  readonly usageInStream: boolean;
  /** llama-server's return_progress: how far it has read the prompt, in chunks without text. */
  readonly promptProgress: boolean;
  /** Schemas without the keywords that grammar compilers refuse. */
  readonly plainSchemas: boolean;
}

export function requestStyleOf(kind: ServerKind): RequestStyle {
  return {
    usageInStream: true,
    promptProgress: kind === "llama-server",
    plainSchemas: kind !== "lmx",
  };
}

/** For a server that refused what it need not know. */
export function withoutExtras(style: RequestStyle): RequestStyle {
  return { ...style, usageInStream: false, promptProgress: false };
}

/** True when a 400 or 422 is about one of the extras: the same request without them is worth a try. */
export function refusesExtras(fault: {
  readonly status: number | null;
  readonly message: string;
}): boolean {
  const isRefusal = fault.status === 400 || fault.status === 422;
  return isRefusal && /stream_options|include_usage|return_progress/.test(fault.message);
}
