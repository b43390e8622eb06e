// Reading every shape of session file there is (contracts/daemon-v3.md section 7): ours, the superset; the
// existing CLI's, without metadata; the seed's, with metadata only; the daemon's snapshot. What a writer left
// out gets a default; what we do not know stays, in its order, for the next save. Pure: knows no disk.
import { spokenText } from "../protocol/turn-facts.ts";
import {
  type SessionFile,
  type SessionSummary,
  sessionFileSchema,
  titleFromPrompt,
} from "../protocol/session.ts";

export type SessionReading =
  | { readonly ok: true; readonly session: SessionFile }
  /** `problem` says what is wrong, as in "messages.3.role: Invalid option". */
  | { readonly ok: false; readonly problem: string };

/**
 * A parsed file as a session. Messages are the one thing that must be there: a default for them would be a
 * silent loss.
 * @param file.id from the file's name, which beats what the file says, or a copied file would save over its original
 * @param file.modifiedAt ISO 8601, for files that carry no times
 */
export function readSession(
  value: unknown,
  file: { readonly id: string; readonly modifiedAt: string },
): SessionReading {
  if (!isRecord(value)) return { ok: false, problem: "it is not a JSON object" };
  const metadata = value["metadata"] ?? {};
  if (!isRecord(metadata)) return { ok: false, problem: "metadata: it is not an object" };
  const messages = withContent(value["messages"]);
  const workspace = metadata["workspace"] ?? value["cwd"] ?? "";
  const model = metadata["model"] ?? value["model"] ?? "";
  const createdAt =
    metadata["createdAt"] ?? value["created"] ?? value["createdAt"] ?? file.modifiedAt;
  const updatedAt = metadata["updatedAt"] ?? value["updated"] ?? value["updatedAt"] ?? createdAt;
  const session = {
    ...value,
    id: file.id,
    title: value["title"] ?? titleOf(messages),
    messages,
    metadata: { ...metadata, workspace, model, createdAt, updatedAt },
    created: value["created"] ?? createdAt,
    updated: value["updated"] ?? updatedAt,
    model: value["model"] ?? model,
    cwd: value["cwd"] ?? workspace,
    tags: value["tags"] ?? [],
    toolCallCount: value["toolCallCount"] ?? countToolCalls(messages),
    compacted: value["compacted"] ?? false,
    seq: value["seq"] ?? 0,
  };
  // The schema only judges: what it returns has lost the order of keys, and unknown ones in tool calls.
  const checked = sessionFileSchema.safeParse(session);
  if (checked.success) return { ok: true, session: session as SessionFile };
  const issue = checked.error.issues[0];
  return {
    ok: false,
    problem: `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "unreadable"}`,
  };
}

export function toSummary({ id, title, metadata, messages, tags }: SessionFile): SessionSummary {
  return {
    sessionId: id,
    title,
    workspace: metadata.workspace,
    model: metadata.model,
    createdAt: metadata.createdAt,
    updatedAt: metadata.updatedAt,
    tags,
    messageCount: messages.length,
  };
}

type JsonRecord = { readonly [key: string]: unknown };

function isRecord(value: unknown): value is JsonRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** JavaScript writers drop `content: undefined` beside tool calls; on the wire that is null. */
function withContent(messages: unknown): unknown {
  if (!Array.isArray(messages)) return messages;
  return messages.map((message: unknown) =>
    isRecord(message) && message["content"] === undefined ? { ...message, content: null } : message,
  );
}

function titleOf(messages: unknown): string {
  const first = Array.isArray(messages)
    ? messages.find((message: unknown) => isRecord(message) && message["role"] === "user")
    : undefined;
  const content = sessionFileSchema.unwrap().shape.messages.safeParse([first]);
  const message = content.success ? content.data[0] : undefined;
  return titleFromPrompt(message === undefined ? "" : spokenText(message));
}

function countToolCalls(messages: unknown): number {
  if (!Array.isArray(messages)) return 0;
  return messages.reduce((count: number, message: unknown) => {
    const calls = isRecord(message) ? message["tool_calls"] : undefined;
    return count + (Array.isArray(calls) ? calls.length : 0);
  }, 0);
}
