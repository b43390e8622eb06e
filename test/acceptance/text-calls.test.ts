// Tool calls and reasoning that a model writes as text, on the built binary: the tools really run.
import { describe, expect, test } from "bun:test";
import type { ScenarioInput } from "../../src/lmx-server/scenario.ts";
import { eventsOf, optaDo } from "../support/do.ts";
import { startScripted } from "../support/lmx.ts";
import { createPlace } from "../support/workspace.ts";

const p = "]<]minimax[>[";
const fence = "```";

/** Every notation, as a call that reads `file`. */
const notations: readonly (readonly [name: string, write: (file: string) => string])[] = [
  [
    "Hermes",
    (file) => `<tool_call>\n{"name": "read_file", "arguments": {"path": "${file}"}}\n</tool_call>`,
  ],
  ["Qwen2.5-Coder, bare", (file) => `{"name": "read_file", "arguments": {"path": "${file}"}}`],
  [
    "Qwen2.5-Coder, fenced",
    (file) => `${fence}json\n{"name": "read_file", "arguments": {"path": "${file}"}}\n${fence}`,
  ],
  [
    "Qwen3-Coder",
    (file) =>
      `<tool_call>\n<function=read_file>\n<parameter=path>\n${file}\n</parameter>\n</function>\n</tool_call>`,
  ],
  [
    "Qwen3-Coder, opener missing",
    (file) =>
      `<function=read_file>\n<parameter=path>\n${file}\n</parameter>\n</function>\n</tool_call>`,
  ],
  [
    "GLM",
    (file) =>
      `<tool_call>read_file\n<arg_key>path</arg_key>\n<arg_value>${file}</arg_value>\n</tool_call>`,
  ],
  [
    "MiniMax M2",
    (file) =>
      `<minimax:tool_call>\n<invoke name="read_file">\n<parameter name="path">${file}</parameter>\n</invoke>\n</minimax:tool_call>`,
  ],
  [
    "MiniMax M3",
    (file) =>
      `${p}<tool_call>\n${p}<invoke name="read_file">${p}<path>${file}${p}</path>${p}</invoke>\n${p}</tool_call>`,
  ],
  [
    "MiniMax, old",
    (file) => `[TOOL_CALL]\n{tool => "read_file", args => {\n  --path "${file}"\n}}\n[/TOOL_CALL]`,
  ],
  [
    "Anthropic",
    (file) =>
      `<function_calls>\n<invoke name="read_file">\n<parameter name="path">${file}</parameter>\n</invoke>\n</function_calls>`,
  ],
  [
    "Mistral, list",
    (file) => `[TOOL_CALLS] [{"name": "read_file", "arguments": {"path": "${file}"}}]`,
  ],
  ["Mistral, names", (file) => `[TOOL_CALLS]read_file[ARGS]{"path": "${file}"}`],
  [
    "Kimi",
    (file) =>
      `<|tool_calls_section_begin|><|tool_call_begin|>functions.read_file:0<|tool_call_argument_begin|>{"path": "${file}"}<|tool_call_end|><|tool_calls_section_end|>`,
  ],
  [
    "DeepSeek",
    (file) =>
      `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>read_file<｜tool▁sep｜>{"path": "${file}"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
  ],
  ["Llama", (file) => `<|python_tag|>{"name": "read_file", "parameters": {"path": "${file}"}}`],
  [
    "gpt-oss",
    (file) =>
      `<tool_call>{"name": "read_file<|channel|>commentary", "arguments": {"path": "${file}"}}</tool_call>`,
  ],
];

const files = Object.fromEntries(
  notations.map((_, index) => [`f${index}.txt`, `content ${index}\n`]),
);

/** A step for each notation; each but the first must have the content of the file before. */
const turns: ScenarioInput["turns"] = [
  ...notations.map(([, write], index) => ({
    ...(index === 0 ? {} : { expect: `content ${index - 1}` }),
    text: `Step ${index}.\n${write(`f${index}.txt`)}`,
    chunks: { everyChars: 3 },
  })),
  { expect: `content ${notations.length - 1}`, text: "All read." },
];

describe.each([
  ["WebSocket", true],
  ["SSE", false],
])("over %s", (_name, webSocket) => {
  test("a call in any notation runs, and what is seen is only the text", async () => {
    using place = createPlace(files);
    await using lmx = await startScripted({ turns, server: { webSocket } });
    const run = await optaDo(["read them"], { place, port: lmx.port });
    const steps = notations.map((_, index) => `Step ${index}.\n`).join("");
    expect(run.stdout).toBe(`${steps}All read.\n`);
    expect(run.exitCode).toBe(0);
    expect(lmx.requests).toHaveLength(turns.length);

    const messages = place.sessions()[0]?.messages ?? [];
    const calls = messages.flatMap((message) => message.tool_calls ?? []);
    expect(calls.map((call) => call.function)).toEqual(
      notations.map((_, index) => ({
        name: "read_file",
        arguments: JSON.stringify({ path: `f${index}.txt` }),
      })),
    );
  });

  test("a call that was never closed does not run, and the model is told", async () => {
    using place = createPlace();
    const cut =
      '<tool_call>\n{"name": "write_file", "arguments": {"path": "a.txt", "content": "x"}}\n';
    await using lmx = await startScripted({
      turns: [{ text: cut }, { expect: "truncated tool call", text: "I see." }],
      server: { webSocket },
    });
    const run = await optaDo(["--auto", "write"], { place, port: lmx.port });
    expect(run.stdout).toBe("I see.\n");
    expect(() => place.read("a.txt")).toThrow();
  });

  test("a notation that is only quoted runs nothing", async () => {
    using place = createPlace();
    const call =
      '<tool_call>{"name": "write_file", "arguments": {"path": "a.txt", "content": "x"}}</tool_call>';
    const text = `Write ${call} to call a tool:\n\n${fence}\n${call}\n${fence}\nThat is all.`;
    await using lmx = await startScripted({
      turns: [{ text, chunks: { everyChars: 4 } }],
      server: { webSocket },
    });
    const run = await optaDo(["--auto", "explain"], { place, port: lmx.port });
    expect(run.stdout).toBe(`${text}\n`);
    expect(lmx.requests).toHaveLength(1);
    expect(() => place.read("a.txt")).toThrow();
  });

  test("reasoning in tags is told and kept apart from the answer, also without its opening tag", async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      turns: [{ text: "<think>\nhm\n</think>\n\nOne." }, { text: "hm, hm\n</think>\n\nTwo." }],
      server: { webSocket },
    });
    const first = await optaDo(["-f", "json", "a"], { place, port: lmx.port });
    await optaDo(["--continue", "b"], { place, port: lmx.port });
    const thinking = eventsOf(first).map((event) =>
      event.event === "turn.thinking" ? event.payload.text : "",
    );
    expect(thinking.join("")).toBe("hm\n");
    const answers = place.sessions()[0]?.messages.filter(({ role }) => role === "assistant");
    expect(answers).toMatchObject([
      { content: "One.", reasoning: "hm\n" },
      { content: "Two.", reasoning: "hm, hm\n" },
    ]);
  });
});

test("a model that wants its reasoning back gets it, and every request stays a prefix of the next", async () => {
  using place = createPlace({ "a.txt": "x\n" });
  const readA = { name: "read_file", arguments: { path: "a.txt" } };
  await using lmx = await startScripted({
    models: [{ id: "zai-org/GLM-4.6" }],
    turns: [
      { thinking: "I look.", toolCalls: [readA] },
      {
        thinking: "Again.",
        text: "Hm.",
        toolCalls: [{ ...readA, arguments: { path: "a.txt", limit: 1 } }],
      },
      { text: "<think>\nDone.\n</think>\nIt says x." },
      { text: "Yes." },
    ],
  });
  await optaDo(["go"], { place, port: lmx.port });
  await optaDo(["--continue", "sure?"], { place, port: lmx.port });
  const texts = lmx.chatTexts();
  expect(texts).toHaveLength(4);
  for (const [index, text] of texts.slice(1).entries()) {
    expect(text.startsWith(`${texts[index]?.slice(0, -"]}".length)},`)).toBe(true);
  }
  const last = JSON.parse(texts[3] ?? "") as { messages: { reasoning_content?: string }[] };
  const resent = last.messages.flatMap((message) => message.reasoning_content ?? []);
  expect(resent).toEqual(["I look.", "Again.", "Done."]);
});
