// The tools that were sent, as a reader needs them: which names count, and what a call must carry. Pure.
import type { ToolSchema } from "../provider.ts";

export interface KnownTool {
  readonly name: string;
  /** JSON schema by argument. */
  readonly properties: Readonly<Record<string, unknown>>;
  readonly required: readonly string[];
}

export interface KnownTools {
  readonly size: number;
  /** Takes off what servers and templates leave on a name: `functions.NAME:0`, `NAME<|channel|>commentary`. */
  find(written: string): KnownTool | undefined;
  /** Whether some name begins like this. */
  canBegin(written: string): boolean;
}

export function createKnownTools(schemas: readonly ToolSchema[]): KnownTools {
  const tools = new Map(schemas.map((schema) => [schema.function.name, toKnownTool(schema)]));
  return {
    size: tools.size,
    find: (written) => tools.get(written) ?? tools.get(bareName(written)),
    canBegin: (written) => {
      const begin = written.replace(/^functions\./, "");
      return [...tools.keys()].some((name) => name.startsWith(begin) || begin.startsWith(name));
    },
  };
}

function bareName(written: string): string {
  return written
    .trim()
    .replace(/<\|[\s\S]*$/, "")
    .replace(/^functions\./, "")
    .replace(/:\d+$/, "")
    .trim();
}

function toKnownTool({ function: { name, parameters } }: ToolSchema): KnownTool {
  const { properties, required } = parameters;
  return {
    name,
    properties: isRecord(properties) ? properties : {},
    required: Array.isArray(required) ? required.filter((key) => typeof key === "string") : [],
  };
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
