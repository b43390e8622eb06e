// The operations that existing clients ask for by name, behind `GET /v3/operations` and
// `POST /v3/operations/:id` (contracts/daemon-v3.md sections 0.8, 2 and 5): the table, and what HTTP answers.
// Knows no HTTP server: it gives a status and a body.
import type * as z from "zod";
import { type ErrorCode, errorCodes, type OptaError, toOptaError } from "../protocol/error.ts";
import { lmxErrorMessage } from "../protocol/lmx-wire-errors.ts";
import { accountOperations } from "./client-operations/accounts.ts";
import {
  type ClientOperation,
  type ClientOperationContext,
  inTime,
  type OperationSafety,
} from "./client-operations/client-operation.ts";
import { configOperations } from "./client-operations/config.ts";
import { daemonOperations } from "./client-operations/daemon.ts";
import { mcpOperations } from "./client-operations/mcp.ts";
import { modelAliasOperations } from "./client-operations/model-aliases.ts";
import { modelOperations } from "./client-operations/models.ts";
import { sessionOperations } from "./client-operations/sessions.ts";

export type { ClientOperationContext } from "./client-operations/client-operation.ts";

export interface ClientOperationAnswer {
  /** HTTP. */
  readonly status: number;
  /** The JSON document. */
  readonly body: object;
}

const clientOperations: readonly ClientOperation[] = [
  ...sessionOperations,
  ...daemonOperations,
  ...modelOperations,
  ...modelAliasOperations,
  ...mcpOperations,
  ...configOperations,
  ...accountOperations,
];

/** For `GET /v3/operations`. These four keys and no other: clients check them strictly. */
export function listClientOperations(): readonly {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  readonly safety: OperationSafety;
}[] {
  return clientOperations.map(({ id, title, description, safety }) => ({
    id,
    title,
    description,
    safety,
  }));
}

/**
 * For `POST /v3/operations/:id`. Never throws: whatever goes wrong is an answer.
 * @param body the parsed JSON body: {input, confirmDangerous}, the bare input, or undefined
 */
export async function runClientOperation(
  id: string,
  body: unknown,
  context: ClientOperationContext,
): Promise<ClientOperationAnswer> {
  const operation = clientOperations.find((candidate) => candidate.id === id);
  if (operation !== undefined) return answerClientOperation(operation, body, context);
  const error = { code: "not_found", message: `there is no operation ${id}` };
  return { status: 404, body: { ok: false, id, safety: "read", error } };
}

/** One operation's answer, by the same rules. */
export async function answerClientOperation(
  operation: ClientOperation,
  body: unknown,
  context: ClientOperationContext,
): Promise<ClientOperationAnswer> {
  const { id, safety } = operation;
  const { input, confirmDangerous } = unwrap(body);
  if (safety === "dangerous" && !confirmDangerous) {
    const message = `${id} needs "confirmDangerous": true`;
    const error = { code: "dangerous_confirmation_required", message };
    return { status: 403, body: { ok: false, id, safety, error } };
  }
  const parsed = operation.input.safeParse(input);
  if (!parsed.success) return invalidInput(parsed.error.issues);
  try {
    const overdue = new AbortController();
    const signal = AbortSignal.any([context.signal, overdue.signal]);
    const work = operation.run(parsed.data, { ...context, signal });
    const result = await inTime(work, { limitMs, signal: context.signal });
    if (result === undefined) {
      overdue.abort();
      return tooSlow(operation);
    }
    return { status: 200, body: { ok: true, id, safety, result } };
  } catch (thrown) {
    return failure(operation, toOptaError(thrown));
  }
}

/** Clients give up on any operation after 8 s (contracts/daemon-v3.md section 2): they hear before that. */
const limitMs = 7_000;

function tooSlow({ id, safety }: ClientOperation): ClientOperationAnswer {
  const message = `${id} has not ended within ${limitMs / 1_000} s; what it asked of others may go on`;
  const error = { code: codeNames[503], message, details: { hint: "opta status" } };
  return { status: 503, body: { ok: false, id, safety, error } };
}

/** Some clients send the input bare; no input has a key `input` of its own. */
function unwrap(body: unknown): { readonly input: unknown; readonly confirmDangerous: boolean } {
  if (typeof body !== "object" || body === null) {
    return { input: body ?? {}, confirmDangerous: false };
  }
  const wrapper: { readonly input?: unknown; readonly confirmDangerous?: unknown } = body;
  const isWrapped = Object.hasOwn(body, "input");
  return {
    input: isWrapped ? (wrapper.input ?? {}) : body,
    confirmDangerous: wrapper.confirmDangerous === true,
  };
}

function invalidInput(issues: readonly z.core.$ZodIssue[]): ClientOperationAnswer {
  const [first] = issues;
  const path = first?.path.join(".") ?? "";
  const message = first?.message ?? "invalid input";
  return {
    status: 400,
    body: { error: path === "" ? message : `${path}: ${message}`, details: issues },
  };
}

/** The contract's names of what can go wrong; every other failure is ours: 500. */
const codeNames: Readonly<Record<number, string>> = {
  403: "permission_denied",
  404: "not_found",
  409: "conflict",
  500: "execution_failed",
  503: "upstream_unavailable",
};

function failure({ id, safety }: ClientOperation, error: OptaError): ClientOperationAnswer {
  const { code, hint } = error;
  const status = statusFor(code);
  const message = lmxErrorMessage(error);
  if (status === 400) {
    const issue = { code: "custom", path: [], message: hint ?? message };
    return { status, body: { error: message, details: [issue] } };
  }
  const details = { code, ...(hint === undefined ? {} : { hint }) };
  const shown = { code: codeNames[status], message, details };
  return { status, body: { ok: false, id, safety, error: shown } };
}

function statusFor(code: ErrorCode): number {
  switch (code) {
    case "denied":
      return 403;
    case "lmx-connection-refused":
    case "lmx-timeout":
    case "auth-failed":
    case "no-model-loaded":
    case "daemon-unreachable":
      return 503;
    default: {
      const { httpStatus } = errorCodes[code];
      return [400, 403, 404, 409].includes(httpStatus) ? httpStatus : 500;
    }
  }
}
