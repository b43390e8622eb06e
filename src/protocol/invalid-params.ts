// What is wrong with parameters, in one sentence: the first thing that a schema found, and where.
import type * as z from "zod";
import { OptaError } from "./error.ts";

/** @param subject what they are the parameters of, where the finding has no place of its own */
export function invalidParams(issues: readonly z.core.$ZodIssue[], subject: string): OptaError {
  const [issue] = issues;
  const where = issue?.path.join(".") || subject;
  const hint = issue?.path.includes("sessionId") ? "opta sessions list" : undefined;
  const isMissing = issue?.code === "invalid_type" && issue.message.endsWith("received undefined");
  const what = isMissing ? "is missing" : (issue?.message ?? "invalid");
  return new OptaError("usage", `${where}: ${what}`, hint);
}
