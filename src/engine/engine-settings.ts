// What the user's settings decide, as the engine sees them.
import type { PermissionMode, PermissionRule } from "../protocol/permission.ts";
import type { Provider } from "../providers/provider.ts";
import type { Tool } from "../tools/tool.ts";

/** What the user's settings decide. A change holds from the next operation on; a running turn keeps its own. */
export interface EngineSettings {
  readonly provider: Provider;
  readonly tools: readonly Tool[];
  /** The model to use where neither session nor turn names one; undefined: the loaded one. */
  readonly model: string | undefined;
  readonly permissions: {
    readonly mode: PermissionMode;
    readonly rules: readonly PermissionRule[];
    /** How long a question waits for its answer. */
    readonly timeoutMs: number;
  };
  /** Model requests of one turn. */
  readonly maxSteps: number;
}
