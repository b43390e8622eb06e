// What to say when settings are wrong: where, which key, what is wrong with it, and the next command to type.
// Loaded only after something failed. Never repeats the value of a secret, nor one that may hold a password.
import { distance } from "fastest-levenshtein";
import * as z from "zod";
import { OptaError } from "../protocol/error.ts";
import { findJsonProblem } from "./json-position.ts";
import { configKeys, findConfigKey, type JsonObject, unwrapSchema } from "./keys.ts";
import { configSchema } from "./schema.ts";

/** Where the value of a dotted key came from, in words that begin a sentence: `OPTA_PORT`, `/home/…/config.json`. */
export type NameOrigin = (key: string) => string;

/** The error for JSON text that does not parse. */
export function jsonSyntaxError(path: string, text: string): OptaError {
  const place = findJsonProblem(text);
  const where = place === undefined ? path : `${path}:${place.line}:${place.column}`;
  const problem =
    text.trim() === "" ? "the file is empty" : (place?.problem ?? "it does not parse");
  return new OptaError(
    "config-invalid",
    `${where}: not valid JSON: ${problem}`,
    "Correct the file in an editor; `opta config path` prints where it is.",
  );
}

/** The error for settings that the schema refused; every problem gets a line. */
export function invalidConfigError(
  issues: readonly z.core.$ZodIssue[],
  settings: JsonObject,
  originOf: NameOrigin,
): OptaError {
  const problems = issues.flatMap((issue) => describeIssue(issue, settings, originOf));
  const hints = new Set(problems.map((problem) => problem.hint));
  return new OptaError(
    "config-invalid",
    problems.map((problem) => problem.text).join("\n"),
    [...hints].join("\n"),
  );
}

/** The error for a dotted key that is no setting. */
export function unknownKeyError(key: string): OptaError {
  const inside = configKeys.filter((known) => known.key.startsWith(`${key}.`));
  if (inside.length > 0) {
    const names = inside.map((known) => known.key).join(", ");
    return new OptaError("usage", `${key} is a group of settings: ${names}`, `opta config list`);
  }
  const nearest = nearestKey(key);
  const meant = nearest === undefined ? "" : `; did you mean ${nearest}?`;
  return new OptaError("usage", `there is no setting ${key}${meant}`, "opta config list");
}

interface Problem {
  readonly text: string;
  readonly hint: string;
}

function describeIssue(
  issue: z.core.$ZodIssue,
  settings: JsonObject,
  originOf: NameOrigin,
): Problem[] {
  const key = issue.path.join(".");
  const origin = originOf(key);
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((name) => describeUnknown(origin, issue.path, name));
  }
  const setting = configKeys.find((known) => known.key === key || key.startsWith(`${known.key}.`));
  const value = setting?.secret === true ? "a secret" : show(valueAt(settings, issue.path));
  // The schema's own conditions are about what must not be shown.
  const isShown = issue.code !== "custom";
  const subject = key === "" ? "the file" : key;
  return [
    {
      text: `${origin}: ${subject} ${requirement(issue)}${isShown ? `, but is ${value}` : ""}`,
      hint: setting === undefined ? "opta config list" : hintToSet(origin, setting.key),
    },
  ];
}

function hintToSet(origin: string, key: string): string {
  return /^[A-Z_]+$/.test(origin)
    ? `Give ${origin} another value, or unset it.`
    : `opta config set ${key} <value>\nopta config unset ${key}`;
}

function describeUnknown(origin: string, path: readonly PropertyKey[], name: string): Problem {
  const key = [...path, name].join(".");
  const nearest = nearestKey(key, siblingsAt(path));
  const meant = nearest === undefined ? "" : `; did you mean ${nearest}?`;
  // Names inside lists and maps may hold dots, and are no dotted keys.
  const insideList =
    path.some((part) => typeof part === "number") ||
    (path.length > 0 && findConfigKey(String(path[0])) !== undefined);
  return {
    text: `${origin}: there is no setting ${key}${meant}`,
    hint: insideList
      ? "Correct the file in an editor; `opta config path` prints where it is."
      : `opta config unset ${key}`,
  };
}

function requirement(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return `must be ${typeNames[issue.expected] ?? issue.expected}`;
    case "invalid_value":
      return `must be one of ${issue.values.join(", ")}`;
    case "too_small":
      if (issue.origin === "string") return "must not be empty";
      return `must be at least ${issue.minimum}`;
    case "too_big":
      return `must be at most ${issue.maximum}`;
    case "invalid_format":
      return issue.format === "url" ? "must be an http:// or https:// URL" : "has the wrong form";
    case "custom":
      return issue.message;
    default:
      return "is not accepted";
  }
}

const typeNames: Readonly<Record<string, string>> = {
  int: "a whole number",
  number: "a number",
  string: "text",
  boolean: "true or false",
  array: "a list",
  object: "an object",
};

function show(value: unknown): string {
  if (value === undefined) return "missing";
  const text = JSON.stringify(value);
  // user:password@host, wherever it was put.
  if (/:.*@/.test(text)) return "something that may hold a password";
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part))
      return undefined;
    value = Reflect.get(value, part);
  }
  return value;
}

/** The dotted names that would have been right at this place; list items count as their element's. */
function siblingsAt(path: readonly PropertyKey[]): string[] {
  let schema: z.ZodType | undefined = configSchema;
  for (const part of path) {
    const inner: z.ZodType | undefined = schema && unwrapSchema(schema);
    if (inner instanceof z.ZodObject) schema = inner.shape[String(part)];
    else if (inner instanceof z.ZodArray) schema = inner.element as z.ZodType;
    else if (inner instanceof z.ZodRecord) schema = inner.valueType as z.ZodType;
    else return [];
  }
  const inner = schema && unwrapSchema(schema);
  if (!(inner instanceof z.ZodObject)) return [];
  return Object.keys(inner.shape).map((name) => [...path, name].join("."));
}

/** Among the siblings, else by whole key or last word, so that `host` finds connection.host. */
function nearestKey(key: string, siblings: readonly string[] = []): string | undefined {
  const known = configKeys.map((candidate) => candidate.key);
  const whole = (candidate: string) => distance(key.toLowerCase(), candidate.toLowerCase());
  const last = (candidate: string) =>
    distance(lastWord(key).toLowerCase(), lastWord(candidate).toLowerCase());
  const limit = Math.max(2, Math.floor(lastWord(key).length / 3));
  return (
    nearestBy(whole, siblings, limit) ??
    nearestBy(whole, known, limit) ??
    nearestBy(last, known, limit)
  );
}

function nearestBy(
  changes: (candidate: string) => number,
  candidates: readonly string[],
  limit: number,
): string | undefined {
  const ranked = candidates
    .map((candidate) => ({ candidate, changes: changes(candidate) }))
    .filter((ranking) => ranking.changes <= limit)
    .sort((left, right) => left.changes - right.changes);
  return ranked[0]?.candidate;
}

function lastWord(key: string): string {
  return key.slice(key.lastIndexOf(".") + 1);
}
