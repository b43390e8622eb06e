// Values by a tool's JSON schema: from raw text, as the tag notations carry them, and the question whether a
// value fits. Text that fits no type of its schema stays text: the tool says what is wrong with it.
import { isRecord } from "./known-tools.ts";
import { parseLenientJson } from "./lenient-json.ts";

type TypeName = "string" | "number" | "integer" | "boolean" | "null" | "array" | "object";

/** Another type first where the text is exactly that; a string byte for byte. */
export function toTypedValue(raw: string, schema: unknown): unknown {
  const types = typesOf(schema);
  const trimmed = raw.trim();
  const isFreeText = types.has("string") && types.size === 1;
  if (isFreeText || trimmed === "") return raw;
  const read = parseLenientJson(trimmed);
  if (!read.ok || typeof read.value === "string") return fromWord(trimmed, types) ?? raw;
  const isAnything = types.size === 0;
  return isAnything || isOfType(read.value, types) ? read.value : raw;
}

/** TRUE and its kin; JSON's and Python's own spelling was read before. */
function fromWord(trimmed: string, types: ReadonlySet<TypeName>): boolean | undefined {
  const word = trimmed.toLowerCase();
  return types.has("boolean") && (word === "true" || word === "false")
    ? word === "true"
    : undefined;
}

/** Types, enumerations, list items and required fields; no more than telling a call from other JSON needs. */
export function fitsSchema(value: unknown, schema: unknown): boolean {
  if (!isRecord(schema)) return true;
  if (Array.isArray(schema.enum) && !schema.enum.includes(value)) return false;
  const types = typesOf(schema);
  if (types.size > 0 && !isOfType(value, types)) return false;
  if (Array.isArray(value)) return value.every((item) => fitsSchema(item, schema.items));
  if (!isRecord(value) || !isRecord(schema.properties)) return true;
  const { properties } = schema;
  const required = Array.isArray(schema.required) ? schema.required : [];
  return (
    required.every((key) => typeof key === "string" && Object.hasOwn(value, key)) &&
    Object.entries(value).every(
      ([key, item]) => Object.hasOwn(properties, key) && fitsSchema(item, properties[key]),
    )
  );
}

/** Empty: any. */
function typesOf(schema: unknown): ReadonlySet<TypeName> {
  if (!isRecord(schema)) return new Set();
  const { type, anyOf, oneOf } = schema;
  if (typeof type === "string") return new Set([type as TypeName]);
  if (Array.isArray(type)) return new Set(type as TypeName[]);
  const branches = Array.isArray(anyOf) ? anyOf : Array.isArray(oneOf) ? oneOf : undefined;
  if (branches !== undefined) return new Set(branches.flatMap((branch) => [...typesOf(branch)]));
  return Array.isArray(schema.enum) ? new Set(schema.enum.map(typeName)) : new Set();
}

function isOfType(value: unknown, types: ReadonlySet<TypeName>): boolean {
  if (types.has(typeName(value))) return true;
  return types.has("number") && typeof value === "number";
}

function typeName(value: unknown): TypeName {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  if (typeof value === "boolean") return "boolean";
  return typeof value === "string" ? "string" : "object";
}
