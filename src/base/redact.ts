// Taking secrets out of what is about to be written or sent. It knows the secrets themselves, so that nothing has
// to be guessed from names or shapes.

/** What stands where a secret was. */
export const redacted = "[secret]";

export type Redact = (text: string) => string;

/**
 * A function that puts "[secret]" for every occurrence of every secret, also where one stands in JSON text or
 * in a URL. Empty secrets are none.
 */
export function createRedact(secrets: readonly string[]): Redact {
  // Longest first: one secret may be the beginning of another.
  const needles = [...new Set(secrets.flatMap(spellings))]
    .filter((needle) => needle !== "")
    .toSorted((one, other) => other.length - one.length);
  return (text) => needles.reduce((rest, needle) => rest.replaceAll(needle, redacted), text);
}

function spellings(secret: string): readonly string[] {
  const wellFormed = secret.toWellFormed();
  return [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(wellFormed)];
}

/** Deeper than anything that is logged on purpose; also the end of a cycle. */
const maxDepth = 8;
/** Values of one object tree, so that a whole heap passed by mistake costs nothing. */
const maxValues = 2_000;
const leftOut = "[left out]";

/**
 * A copy of `value` that JSON can carry, its texts, numbers and keys redacted. Errors keep name, message, code and
 * stack; functions vanish; beyond 8 levels or 2,000 values stands "[left out]".
 * @throws what a getter of `value` throws
 */
export function redactValue(value: unknown, redact: Redact): unknown {
  let values = 0;
  const copy = (one: unknown, depth: number): unknown => {
    values += 1;
    switch (typeof one) {
      case "string":
        return redact(one);
      case "number":
      case "bigint":
        return redactNumber(one, redact);
      case "boolean":
        return one;
      case "object":
        break;
      default:
        return undefined;
    }
    if (one === null) return null;
    if (one instanceof Date) return redact(String(one.toJSON()));
    if (ArrayBuffer.isView(one)) return `[${one.byteLength} bytes]`;
    if (depth === maxDepth || values > maxValues) return leftOut;
    const next = (inner: unknown) => copy(inner, depth + 1);
    if (Array.isArray(one)) return one.slice(0, maxValues).map(next);
    return copyEntries(one instanceof Error ? errorFacts(one) : Object.entries(one), {
      redact,
      copy: next,
    });
  };
  return copy(value, 0);
}

function redactNumber(value: number | bigint, redact: Redact): unknown {
  const text = String(value);
  if (redact(text) !== text) return redacted;
  return typeof value === "number" && Number.isFinite(value) ? value : text;
}

function copyEntries(
  entries: readonly (readonly [string, unknown])[],
  { redact, copy }: { readonly redact: Redact; readonly copy: (value: unknown) => unknown },
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    entries.slice(0, maxValues).map(([key, value]) => [redact(key), copy(value)]),
  );
}

/** None of them is enumerable, which Object.entries would need. */
function errorFacts(error: Error): readonly (readonly [string, unknown])[] {
  const { name, message, stack, cause } = error;
  const code: unknown = "code" in error ? error.code : undefined;
  return Object.entries({ name, message, code, stack, cause });
}
