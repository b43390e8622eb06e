// Seeded mutations of everything models write, and what must hold for every one of them: the reader never
// throws, never loses or reorders a character, gives the same however the text is cut, and invents no call.
import { outcomeOf, readText, type TextReading } from "./read-text.ts";
import { negativeSamples, positiveSamples, sampleTools } from "./text-call-samples.ts";

export interface TextCallFuzzResult {
  readonly texts: number;
  /** Texts in which a whole call was read: the fuzzer must not only make rubbish. */
  readonly withCalls: number;
  readonly withProblems: number;
  /** What did not hold, with the text. */
  readonly breaches: readonly string[];
}

const samples = [...positiveSamples.map(({ written }) => written), ...negativeSamples];
const names = sampleTools.map((tool) => tool.function.name);
const dropTags = new Set(
  ["think", "thought", "mm:think"].flatMap((name) => [`<${name}>`, `</${name}>`]),
);
for (const token of ["[e~[", "]~b]", "]~!b["]) dropTags.add(token);

const snippets = [
  ...samples.flatMap((sample) => sample.match(/<[^<>\n]{1,40}>|\[[A-Z_/]+\]|[{}[\]"']+/g) ?? []),
  ..."<>[]{}`\"'\\\n\t ,:/=|".split(""),
  "```",
  "\n\n",
  ". ",
  "\\u0041",
  "\ud83d",
  "é",
  "\u0000",
  "__proto__",
];

/** `texts` mutations from `seed`. */
export function fuzzTextReader(options: {
  readonly seed: number;
  readonly texts: number;
}): TextCallFuzzResult {
  const random = createRandom(options.seed);
  const breaches: string[] = [];
  let withCalls = 0;
  let withProblems = 0;
  for (let count = 0; count < options.texts; count += 1) {
    const written = mutate(random);
    try {
      const read = readText(written);
      const split = readText(cut(written, random));
      const isSame = Bun.deepEquals(outcomeOf(read), outcomeOf(split));
      const wrong = isSame ? breachOf(read, written) : "depends on how the text is cut";
      if (wrong !== undefined) breaches.push(`${wrong}: ${JSON.stringify(written)}`);
      if (read.calls.some((call) => call.problem === undefined)) withCalls += 1;
      if (read.calls.some((call) => call.problem !== undefined)) withProblems += 1;
    } catch (thrown) {
      breaches.push(`threw ${String(thrown)}: ${JSON.stringify(written)}`);
    }
  }
  return { texts: options.texts, withCalls, withProblems, breaches };
}

function breachOf(read: TextReading, written: string): string | undefined {
  if (read.whole !== written) return "text was lost or reordered";
  let pending: TextReading["calls"] = [];
  for (const event of read.events) {
    if (event.type === "call") pending = [...pending, event.call];
    if (event.type !== "dropped") continue;
    if (pending.length === 0 && event.text.trim() !== "" && !dropTags.has(event.text)) {
      return `dropped ${JSON.stringify(event.text)}`;
    }
    for (const call of pending) {
      const wrong = inventedIn(call, event.text);
      if (wrong !== undefined) return wrong;
    }
    pending = [];
  }
  return pending.length === 0 ? undefined : "a call that stands for no text";
}

/** What of a call does not stem from the text it stands for. */
function inventedIn(call: TextReading["calls"][number], source: string): string | undefined {
  if (!names.includes(call.name) || !source.includes(call.name)) return `invented ${call.name}`;
  if (call.problem !== undefined)
    return call.problem.length > 800 ? "too long a problem" : undefined;
  const args: unknown = JSON.parse(call.arguments);
  if (typeof args !== "object" || args === null || Array.isArray(args)) return "no object";
  const known = squash(source);
  const invented = leaves(args).find((leaf) => !known.includes(squash(leaf)));
  return invented === undefined || source.includes("\\u") ? undefined : `invented ${invented}`;
}

/** Names and strings anywhere in a value. */
function leaves(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => [
    ...(Array.isArray(value) ? [] : [key]),
    ...leaves(item),
  ]);
}

/** Without what escaping adds and takes away. */
function squash(text: string): string {
  return text.replace(/\\[bfnrt]|[\\"'\s\p{Cc}]/gu, "");
}

function mutate(random: () => number): string {
  let text = pick(samples, random);
  const rounds = 1 + Math.floor(random() * 3);
  for (let round = 0; round < rounds; round += 1) {
    const at = Math.floor(random() * (text.length + 1));
    const to = Math.min(text.length, at + Math.floor(random() * 12));
    const kind = Math.floor(random() * 7);
    if (kind === 0) text = text.slice(0, at) + text.slice(to);
    else if (kind === 1) text = text.slice(0, at) + pick(snippets, random) + text.slice(at);
    else if (kind === 2) text = text.slice(0, at) + pick(snippets, random) + text.slice(to);
    else if (kind === 3) text = text.slice(0, to) + text.slice(at, to) + text.slice(to);
    else if (kind === 4) text = text.slice(0, at);
    else if (kind === 5) text += pick(["", "\n", " ", "\n\n"], random) + pick(samples, random);
    else text = text.slice(0, at) + pick(samples, random) + text.slice(at);
  }
  return text;
}

function cut(text: string, random: () => number): readonly string[] {
  const chunks: string[] = [];
  const longest = 1 + Math.floor(random() * 20);
  for (let at = 0; at < text.length;) {
    const end = at + 1 + Math.floor(random() * longest);
    chunks.push(text.slice(at, end));
    at = end;
  }
  return chunks;
}

function pick<T>(items: readonly T[], random: () => number): T {
  return items[Math.floor(random() * items.length)] as T;
}

/** mulberry32: small, seeded, good enough to mutate text. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
