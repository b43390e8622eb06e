// The words of permissions: what a call would touch (Effect), what the user said in advance (Rule, Mode)
// and what came of it (Verdict). The judging itself is one pure function in engine/permission-policy.ts.
import * as z from "zod";
import { permissionModes } from "./permission-modes.ts";

export const permissionModeSchema = z.enum(permissionModes);
export const decisionSchema = z.enum(["allow", "ask", "deny"]);
/** What a person may answer to a question. */
export const permissionAnswerSchema = z.enum(["allow", "deny"]);

/** A user's rule. It matches a call when every field that is present matches; one at least is. */
export const permissionRuleSchema = z
  .strictObject({
    decision: decisionSchema,
    /** A tool's name. */
    tool: z.string().optional(),
    /** A glob over the path, relative to the workspace, or absolute when it begins with / or ~. */
    path: z.string().optional(),
    /** The exact command line. */
    command: z.string().optional(),
    /** The first words of a simple command: ["git", "status"]. */
    prefix: z.array(z.string().min(1)).min(1).optional(),
    /** A network host, exact. */
    host: z.string().optional(),
  })
  .refine((rule) => Object.keys(rule).length > 1, {
    // It would decide everything, secrets and opta's own settings included.
    message: "needs a condition: tool, path, command, prefix or host",
    when: ({ issues }) => issues.length === 0, // a misspelt one is named already
  });

export type PermissionMode = z.infer<typeof permissionModeSchema>;
export type Decision = z.infer<typeof decisionSchema>;
export type PermissionRule = z.infer<typeof permissionRuleSchema>;

/**
 * What one tool call would touch, declared by the tool and judged by the policy. Paths are absolute with
 * every symbolic link resolved as far as the path exists, so that a link cannot hide where it leads.
 */
export type Effect =
  | { readonly kind: "read"; readonly path: string }
  | { readonly kind: "write"; readonly path: string }
  | { readonly kind: "delete"; readonly path: string }
  | { readonly kind: "exec"; readonly command: string }
  | { readonly kind: "network"; readonly host: string }
  /** A question to the person at the terminal (ask_user). */
  | { readonly kind: "question"; readonly question: string };

/** The outcome for one call: the strongest over its effects (deny beats ask beats allow). */
export interface Verdict {
  readonly decision: Decision;
  /** What decided, in words a user can find again: `mode safe`, `rule 3: deny tool=run_command`. */
  readonly rule: string;
  /** One sentence for the user and the model. */
  readonly reason: string;
  /** For ask and deny: the flag or rule that would have allowed it. */
  readonly remedy?: string;
}
