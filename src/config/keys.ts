// The settings by dotted key (connection.host), derived from the schema: reading and placing a value, and
// turning typed text into the value that a key holds. Pure; knows no files and no environment.
import * as z from "zod";
import { configSchema } from "./schema.ts";

export type JsonObject = { [key: string]: unknown };

export interface ConfigKey {
  /** Dotted: `connection.host`. */
  readonly key: string;
  /** What the value is, without default and optional. */
  readonly schema: z.ZodType;
  /** Never shown in a list. */
  readonly secret: boolean;
}

const secretKeys: ReadonlySet<string> = new Set(["connection.apiKey", "connection.adminKey"]);

/** Every setting, in the schema's order. */
export const configKeys: readonly ConfigKey[] = leavesOf(configSchema, "");

export function findConfigKey(key: string): ConfigKey | undefined {
  return configKeys.find((known) => known.key === key);
}

function leavesOf(schema: z.ZodType, prefix: string): ConfigKey[] {
  const inner = unwrapSchema(schema);
  if (!(inner instanceof z.ZodObject)) {
    return [{ key: prefix, schema: inner, secret: secretKeys.has(prefix) }];
  }
  return Object.entries<z.ZodType>(inner.shape).flatMap(([name, member]) =>
    leavesOf(member, prefix === "" ? name : `${prefix}.${name}`),
  );
}

/** The schema below its defaults and optionals. */
export function unwrapSchema(schema: z.ZodType): z.ZodType {
  if (
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodOptional
  ) {
    return unwrapSchema(schema.unwrap() as z.ZodType);
  }
  return schema;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value at a dotted key; undefined when any part is missing. */
export function readKey(root: JsonObject, key: string): unknown {
  let value: unknown = root;
  for (const name of key.split(".")) {
    if (!isJsonObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

/**
 * A copy of `root` with `value` at the dotted key, the other keys in their order. Where a part of the way is
 * no object, the copy is unchanged: validation will say what is wrong there.
 */
export function placeKey(root: JsonObject, key: string, value: unknown): JsonObject {
  const [name = "", ...rest] = key.split(".");
  if (rest.length === 0) return { ...root, [name]: value };
  const child = Object.hasOwn(root, name) ? root[name] : {};
  if (!isJsonObject(child)) return root;
  return { ...root, [name]: placeKey(child, rest.join("."), value) };
}

/** A copy of `root` without the dotted key, and without the objects that this leaves empty. */
export function removeKey(root: JsonObject, key: string): JsonObject {
  const [name = "", ...rest] = key.split(".");
  const { [name]: child, ...others } = root;
  if (rest.length === 0) return others;
  if (!isJsonObject(child)) return root;
  const remaining = removeKey(child, rest.join("."));
  return Object.keys(remaining).length === 0 ? others : { ...root, [name]: remaining };
}

/**
 * Typed text as the value for a key: numbers and booleans by the schema's type, lists as JSON or separated
 * by commas, anything deeper as JSON. Text that does not fit is returned as it is, for the schema to refuse.
 */
export function parseSetting({ schema }: ConfigKey, text: string): unknown {
  if (schema instanceof z.ZodNumber) {
    return /^\s*-?\d+(\.\d+)?\s*$/.test(text) ? Number(text) : text;
  }
  if (schema instanceof z.ZodBoolean) {
    return text === "true" ? true : text === "false" ? false : text;
  }
  if (schema instanceof z.ZodRecord) return parseJson(text);
  if (schema instanceof z.ZodArray) {
    if (!text.trimStart().startsWith("[") && schema.element instanceof z.ZodString) {
      const items = text.split(",").map((item) => item.trim());
      return items.filter((item) => item !== "");
    }
    return parseJson(text);
  }
  return text;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
