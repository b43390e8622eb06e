// The deep check of the reader of text tool calls: seeded mutations of every sample of every notation. Any text
// that breaks a promise is printed with its seed, and the exit code is 1.
//   bun scripts/fuzz-text-calls.ts [--texts 100000] [--seed 1]
import { parseArgs } from "node:util";
import { fuzzTextReader } from "../test/support/text-call-fuzz.ts";

const batchTexts = 10_000;
const { values } = parseArgs({
  options: {
    texts: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
  },
});
const total = Number(values.texts);
const sum = { texts: 0, withCalls: 0, withProblems: 0, breaches: 0 };
for (let seed = Number(values.seed); sum.texts < total; seed += 1) {
  const result = fuzzTextReader({ seed, texts: Math.min(batchTexts, total - sum.texts) });
  for (const breach of result.breaches.slice(0, 20)) console.log(`seed ${seed}: ${breach}`);
  sum.texts += result.texts;
  sum.withCalls += result.withCalls;
  sum.withProblems += result.withProblems;
  sum.breaches += result.breaches.length;
}
console.log(
  `${sum.texts} texts: ${sum.withCalls} with a whole call, ${sum.withProblems} with a broken one, ${sum.breaches} breaches`,
);
process.exit(sum.breaches === 0 && sum.withCalls > 0 && sum.withProblems > 0 ? 0 : 1);
