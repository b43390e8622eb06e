import { describe, expect, test } from "bun:test";
import { outcomeOf, readText } from "../../support/read-text.ts";
import { negativeSamples, positiveSamples } from "../../support/text-call-samples.ts";

describe("a call written as text is read:", () => {
  for (const sample of positiveSamples) {
    test(sample.name, () => {
      const read = readText(sample.written);
      expect(read.text).toBe(sample.text ?? "");
      expect(read.thinking).toBe(sample.thinking ?? "");
      expect(read.whole).toBe(sample.written);
      expect(read.calls.map(({ name }) => name)).toEqual(sample.calls.map(([name]) => name));
      for (const [index, [, args, id]] of sample.calls.entries()) {
        const call = read.calls[index];
        if (typeof args === "string") expect(call?.problem).toContain(args);
        else {
          expect(call?.problem).toBeUndefined();
          expect(JSON.parse(call?.arguments ?? "")).toEqual(args);
        }
        if (id !== undefined) expect(call?.id).toBe(id);
      }
    });
  }
  test("and the same wherever the text is cut, or when it comes character by character", () => {
    for (const { written } of positiveSamples) {
      const unsplit = outcomeOf(readText(written));
      for (let cut = 1; cut < written.length; cut += 1) {
        const split = readText([written.slice(0, cut), written.slice(cut)]);
        expect(outcomeOf(split)).toEqual(unsplit);
      }
      expect(outcomeOf(readText(written.split("")))).toEqual(unsplit);
    }
  });
  test("but never from its beginning alone", () => {
    for (const { written, calls } of positiveSamples) {
      for (let cut = 1; cut < written.length; cut += 1) {
        const whole = readText(written.slice(0, cut)).calls.filter((call) => !call.problem);
        expect(whole.length).toBeLessThanOrEqual(calls.length);
        const wanted = calls.map(([name, args]) => JSON.stringify([name, args]));
        const read = whole.map((call) => JSON.stringify([call.name, JSON.parse(call.arguments)]));
        expect(wanted).toEqual(expect.arrayContaining(read));
      }
    }
  });
});

describe("no call, and every byte is text:", () => {
  for (const written of negativeSamples) {
    test(JSON.stringify(written), () => {
      const read = readText(written);
      expect(read.calls).toEqual([]);
      expect(read.text).toBe(written);
    });
  }
  test("wherever the text is cut", () => {
    for (const written of negativeSamples) {
      for (let cut = 1; cut < written.length; cut += 1) {
        const read = readText([written.slice(0, cut), written.slice(cut)]);
        expect(read.calls).toEqual([]);
        expect(read.text).toBe(written);
      }
      expect(readText(written.split("")).text).toBe(written);
    }
  });
});
