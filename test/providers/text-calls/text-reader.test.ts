import { describe, expect, test } from "bun:test";
import { createKnownTools } from "../../../src/providers/text-calls/known-tools.ts";
import { createTextReader } from "../../../src/providers/text-calls/text-reader.ts";
import { outcomeOf, readText } from "../../support/read-text.ts";
import { fuzzTextReader } from "../../support/text-call-fuzz.ts";
import { negativeSamples, positiveSamples, sampleTools } from "../../support/text-call-samples.ts";

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

describe("what waits and what does not:", () => {
  const chunksOf = (chunks: readonly string[]) =>
    readText(chunks).events.flatMap((event) => (event.type === "text" ? [event.text] : []));

  test("plain text goes on at once, chunk by chunk", () => {
    const chunks = ["I ", "look", " at", "\n", "  it.", "\n\n", "Done"];
    expect(chunksOf(chunks)).toEqual(chunks);
  });
  test("what begins like a tag waits until it cannot become one", () => {
    expect(chunksOf(["a <", "tool", "box> b"])).toEqual(["a ", "<toolbox> b"]);
    expect(chunksOf(["x[", "0", "] ", "y"])).toEqual(["x", "[0", "] ", "y"]);
  });
  test("nothing waits in a code fence", () => {
    const chunks = ["```\n", "a <", "tool_call", "> [", "\n"];
    expect(chunksOf(chunks).join("")).toBe(chunks.join(""));
    expect(readText([...chunks, "<tool_call>"]).events.at(-1)).toEqual({
      type: "text",
      text: "<tool_call>",
    });
  });
  test("a call that turns out to be none comes out whole", () => {
    expect(chunksOf(["See\n<tool_call>", " is a", " tag"])).toEqual([
      "See\n",
      "<tool_call> is a",
      " tag",
    ]);
  });
  test("whitespace before a call stays, whitespace behind it goes", () => {
    const call = '<tool_call>{"name": "list_dir"}</tool_call>';
    expect(readText(`a \n\n${call}\n\n b `).text).toBe("a \n\nb ");
  });
});

describe("reasoning:", () => {
  test.each(["think", "thought", "mm:think"])("<%s> has a channel of its own", (name) => {
    const read = readText(`\n<${name}>\nhm <b> \`x\`</${name}>\n\nyes `);
    expect([read.thinking, read.text, read.thought]).toEqual(["hm <b> `x`", "yes ", "closed"]);
  });
  test("it may come again, on lines of its own", () => {
    const read = readText("<think>a</think>one\n<think>\nb\n</think>\ntwo");
    expect([read.thinking, read.text]).toEqual(["ab\n", "one\ntwo"]);
  });
  test("a closing tag without its opener: all text before was reasoning", () => {
    const read = readText("Let me see.\n</think>\n\nYes.");
    expect(read.events.map(({ type }) => type)).toEqual([
      "text",
      "text-was-thinking",
      "dropped",
      "dropped",
      "text",
    ]);
    expect(read.events.at(-1)).toEqual({ type: "text", text: "Yes." });
  });
  test("in the middle of a line its tags are text, both of them: nothing said is lost", () => {
    for (const written of [
      "Part one.\n<think>inner</think> part two.",
      "One <think>a<think>b</think>c</think>\nTwo.",
    ]) {
      expect(readText(written)).toMatchObject({ text: written, wasThinking: false });
    }
    const nested = readText("<think>a<think>b</think>c</think>Hi");
    expect([nested.thinking, nested.text]).toEqual(["a<think>b</think>c", "Hi"]);
  });
  test("unless it is a word in a sentence, or in code", () => {
    for (const written of ["The </think> tag closes it.", "```\n</think>\n```\n", "`</think>`\n"]) {
      expect(readText(written)).toMatchObject({ text: written, wasThinking: false });
    }
  });
  test("a family that opens in thought thinks from the first character", () => {
    const read = readText("hm\n</think>\n\nyes", { opensInThought: true });
    expect(read).toMatchObject({
      thinking: "hm\n",
      text: "yes",
      wasThinking: false,
      thought: "closed",
    });
  });
  test("also when it writes the opener itself", () => {
    const read = readText("<think>hm</think>yes", { opensInThought: true });
    expect(read).toMatchObject({ thinking: "hm", text: "yes" });
  });
  test("an unclosed thought is open, one that was only presumed is presumed", () => {
    expect(readText("<think>hm").thought).toBe("open");
    expect(readText("an answer", { opensInThought: true }).thought).toBe("presumed");
  });
  test("a call that is only considered in a thought does not count", () => {
    const call = '<tool_call>{"name": "list_dir"}</tool_call>';
    for (const written of [
      `<think>\n${call}\n</think>\nNo.`,
      `<think>\n${call}\nor not\n</think>`,
    ]) {
      expect(readText(written).calls).toEqual([]);
      expect(readText(written).whole).toBe(written);
    }
  });
  test("is read without tools as well, calls are not", () => {
    const written = '<think>a</think><tool_call>{"name": "list_dir"}</tool_call>';
    const read = readText(written, { tools: [] });
    expect([read.thinking, read.text, read.calls]).toEqual([
      "a",
      '<tool_call>{"name": "list_dir"}</tool_call>',
      [],
    ]);
  });
});

describe("when structured calls come,", () => {
  test("what was held goes on as text and no text is a call any more", () => {
    const texts: string[] = [];
    const reader = createTextReader({
      tools: createKnownTools(sampleTools),
      emit: (event) => texts.push(event.type === "text" ? event.text : event.type),
    });
    reader.push('<tool_call>{"name": ');
    reader.stopCalls();
    reader.push('"list_dir"}</tool_call>\n<tool_call>{"name": "list_dir"}</tool_call>');
    reader.end();
    expect(texts.join("")).toBe(
      '<tool_call>{"name": "list_dir"}</tool_call>\n<tool_call>{"name": "list_dir"}</tool_call>',
    );
  });
});

describe("a problem", () => {
  test("names the position and the required fields, in at most 800 characters", () => {
    const written = `<tool_call>{"name": "write_file", "arguments": {"path": "${"x".repeat(2_000)}", oops}}</tool_call>`;
    const [call] = readText(written).calls;
    expect(call?.problem).toContain("at character 2050");
    expect(call?.problem).toContain("Required fields: path, content");
    expect(call?.problem?.length).toBeLessThanOrEqual(800);
  });
});

describe("text that keeps pretending to be a call costs no more than a little:", () => {
  const pretences = [
    "<tool_call>{",
    '\n{"name": "list_dir", ',
    "`a` ",
    "a.<tool_call>",
    "x </think> y",
    "[[",
  ];
  test.each(pretences)("%j over and over", (pretence) => {
    const written = pretence.repeat(20_000);
    const startedMs = performance.now();
    expect(readText(written).whole).toBe(written);
    // It takes some 50 ms; looking at all of it each time would take minutes.
    expect(performance.now() - startedMs).toBeLessThan(10_000);
  });
});

test("5,000 seeded mutations lose nothing, depend on no cut and invent no call", () => {
  const result = fuzzTextReader({ seed: 20_260_101, texts: 5_000 });
  expect(result.breaches).toEqual([]);
  expect(result.withCalls).toBeGreaterThan(500);
  expect(result.withProblems).toBeGreaterThan(500);
});
