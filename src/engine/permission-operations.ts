// The operations on permissions: answer a question, explain what would be decided. Fails closed (promises G1): what
// is no valid answer is a "no", and nothing here ever allows by itself.
import { OptaError } from "../protocol/error.ts";
import type { OptaEvent } from "../protocol/event.ts";
import type { EngineParts, Handlers } from "./engine-parts.ts";
import { alreadyDecided, decidedByOpta } from "./permission.ts";
import { configuredPolicy } from "./policy.ts";
import { resolveWorkspace } from "./workspace-directory.ts";

export interface PermissionOperations extends Handlers<
  "permission.resolve" | "permission.explain"
> {
  /** Denies an open request to which something was sent that is no answer. @returns whether it was open */
  denyMalformed(requestId: string, why: string): boolean;
}

export function createPermissionOperations({
  options,
  sessions,
}: EngineParts): PermissionOperations {
  function deny(requestId: string, reason: string): boolean {
    const asking = sessions.all().find(({ permissions }) => permissions.isOpen(requestId));
    asking?.permissions.resolve(requestId, {
      decision: "deny",
      decidedBy: decidedByOpta,
      reason,
    });
    return asking !== undefined;
  }

  /** Who decided a request that is not in memory any more; undefined for one that never was. */
  function storedWinner(sessionId: string, requestId: string): string | undefined {
    for (const text of options.events.readControl(sessionId, 0)) {
      if (!text.includes(requestId)) continue;
      const event = JSON.parse(text) as OptaEvent;
      if (event.event !== "permission.resolved" || event.payload.requestId !== requestId) continue;
      return event.payload.decidedBy;
    }
    return undefined;
  }

  return {
    async "permission.resolve"({ sessionId, requestId, ...answer }) {
      const session = sessions.find(sessionId);
      if (session === undefined || !session.permissions.isOpen(requestId)) {
        const winner = storedWinner(sessionId, requestId);
        if (winner !== undefined) throw alreadyDecided(requestId, winner);
        deny(requestId, `answered by ${answer.decidedBy} for another session`);
      }
      if (session === undefined) {
        throw new OptaError("not-found", `there is no permission request ${requestId}`);
      }
      session.permissions.resolve(requestId, answer);
      return { ok: true, conflict: false };
    },
    denyMalformed: (requestId, why) => deny(requestId, `a malformed answer was sent: ${why}`),
    async "permission.explain"(params) {
      const { tools, permissions } = options.settings();
      const tool = tools.find(({ name }) => name === params.tool);
      if (!tool) {
        const names = tools.map(({ name }) => name).toSorted();
        throw new OptaError(
          "usage",
          `there is no tool named ${params.tool}`,
          `tools: ${names.join(", ")}`,
        );
      }
      const workspace = await resolveWorkspace(params.workspace);
      const args = tool.parameters.safeParse(params.args);
      if (!args.success) {
        const issue = args.error.issues[0];
        throw new OptaError("usage", `${params.tool}: ${issue?.path.join(".")}: ${issue?.message}`);
      }
      const { mode } = params;
      return configuredPolicy(options, { workspace, permissions, mode }).judge(
        tool.name,
        await tool.effects(args.data, workspace),
      );
    },
  };
}
