// What local models write: one sample of every notation and its known variants, and texts that speak about
// notations without using them. Shared by the reader's tests, its fuzzer and the acceptance test.
import type { ToolSchema } from "../../src/providers/provider.ts";

export interface TextCallSample {
  readonly name: string;
  readonly written: string;
  /** What is seen; "" when absent. */
  readonly text?: string;
  readonly thinking?: string;
  /** `[name, arguments]`, `[name, arguments, id]`, or `[name, part of the problem]`. */
  readonly calls: readonly (readonly [name: string, args: object | string, id?: string])[];
}

function tool(name: string, properties: object, required: readonly string[]): ToolSchema {
  const parameters = { type: "object", properties, required };
  return { type: "function", function: { name, description: name, parameters } };
}

const string = { type: "string" };
export const sampleTools: readonly ToolSchema[] = [
  tool("list_dir", { path: string }, []),
  tool("read_file", { path: string, offset: { type: "number" }, limit: { type: "integer" } }, [
    "path",
  ]),
  tool("run_command", { command: string, timeout_seconds: { type: "integer" } }, ["command"]),
  tool(
    "search_files",
    {
      patterns: { type: "array", items: string },
      options: {
        type: "object",
        properties: { depth: { type: "integer" }, hidden: { type: "boolean" } },
      },
      regex: { type: "boolean" },
      limit: { anyOf: [{ type: "integer" }, { type: "null" }] },
    },
    ["patterns"],
  ),
  tool("write_file", { path: string, content: string }, ["path", "content"]),
];

const readA = ["read_file", { path: "a.txt" }] as const;
const p = "]<]minimax[>[";
const fenceMark = "```";

export const positiveSamples: readonly TextCallSample[] = [
  {
    name: "Hermes, Qwen3",
    written:
      'I look.\n<tool_call>\n{"name": "read_file", "arguments": {"path": "a.txt"}}\n</tool_call>',
    text: "I look.\n",
    calls: [readA],
  },
  {
    name: "Hermes: two calls, with a thought",
    written:
      '<think>\nTwo files.\n</think>\n\n<tool_call>{"name": "read_file", "arguments": {"path": "a.txt"}}</tool_call>\n<tool_call>\n{"arguments": {"path": "b.txt", "limit": 5}, "name": "read_file"}\n</tool_call>\n',
    thinking: "Two files.\n",
    calls: [readA, ["read_file", { path: "b.txt", limit: 5 }]],
  },
  {
    name: "Hermes: right behind a sentence, closing tag inside a string",
    written:
      'Reading it now. <tool_call>{"name":"write_file","arguments":{"path":"x","content":"a </tool_call> b\\n{\\"c\\":1}"}}</tool_call>',
    text: "Reading it now. ",
    calls: [["write_file", { path: "x", content: 'a </tool_call> b\n{"c":1}' }]],
  },
  {
    name: "Hermes: arguments as a string, parameters instead of arguments, none at all",
    written:
      '<tool_call>{"name":"read_file","arguments":"{\\"path\\":\\"a.txt\\"}"}</tool_call><tool_call>{"name":"read_file","parameters":{"path":"a.txt"}}</tool_call><tool_call>{"name":"list_dir"}</tool_call>',
    calls: [readA, readA, ["list_dir", {}]],
  },
  {
    name: "Hermes: mended where only one reading is possible",
    written:
      '<tool_call>{\'name\': \'read_file\', \'arguments\': {\'path\': \'a.txt\',},}</tool_call>\n<tool_call>\n{"name": "read_file", "arguments": {"path": "a.txt"}\n</tool_call>\n<tool_call>{"name": "write_file", "arguments": {"path": "a", "content": "1\n2"}}}</tool_call>',
    calls: [readA, readA, ["write_file", { path: "a", content: "1\n2" }]],
  },
  {
    name: "Hermes: broken JSON is a problem",
    written:
      '<tool_call>{"name": "write_file", "arguments": {"path": "a.txt", "content": "say "hi" now"}}</tool_call>\nDone.',
    text: "Done.",
    calls: [["write_file", "not valid JSON at character 72"]],
  },
  {
    name: "Hermes: arguments outside of arguments are a problem",
    written: '<tool_call>{"name": "read_file", "path": "a.txt"}</tool_call>',
    calls: [["read_file", 'no "arguments"']],
  },
  {
    name: "Hermes: cut",
    written: '<tool_call>{"name": "write_file", "arguments": {"path": "a.txt", "content": "hal',
    calls: [["write_file", "truncated tool call"]],
  },
  {
    name: "Hermes: whole but not closed",
    written: '<tool_call>\n{"name": "read_file", "arguments": {"path": "a.txt"}}\n',
    calls: [["read_file", "truncated tool call"]],
  },
  {
    name: "Qwen2.5-Coder: bare",
    written: '{"name": "read_file", "arguments": {"path": "a.txt"}}',
    calls: [readA],
  },
  {
    name: "Qwen2.5-Coder: bare, behind text, two of them",
    written:
      'I will read it.\n\n{"name": "read_file", "arguments": {"path": "a.txt"}}\n{\n  "name": "read_file",\n  "arguments": {\n    "path": "b.txt"\n  }\n}\n',
    text: "I will read it.\n\n",
    calls: [readA, ["read_file", { path: "b.txt" }]],
  },
  {
    name: "Qwen2.5-Coder: fenced",
    written: `I will read it.\n${fenceMark}json\n{\n  "name": "read_file",\n  "arguments": {"path": "a.txt"}\n}\n${fenceMark}`,
    text: "I will read it.\n",
    calls: [readA],
  },
  {
    name: "Qwen3-Coder",
    written:
      "I write.\n<tool_call>\n<function=write_file>\n<parameter=path>\na.txt\n</parameter>\n<parameter=content>\n  one\n</parameter> two\n\n</parameter>\n</function>\n</tool_call>",
    text: "I write.\n",
    calls: [["write_file", { path: "a.txt", content: "  one\n</parameter> two\n" }]],
  },
  {
    name: "Qwen3-Coder: opening tag missing, values typed by the schema",
    written:
      '<function=search_files>\n<parameter=patterns>\n["a", "b"]\n</parameter>\n<parameter=options>\n{"depth": 2, "hidden": True}\n</parameter>\n<parameter=regex>\nTrue\n</parameter>\n<parameter=limit>\nnull\n</parameter>\n</function>\n</tool_call>',
    calls: [
      [
        "search_files",
        { patterns: ["a", "b"], options: { depth: 2, hidden: true }, regex: true, limit: null },
      ],
    ],
  },
  {
    name: "Qwen3.5: numbers stay text where the schema wants text",
    written:
      "<tool_call>\n<function=write_file>\n<parameter=path>\n42\n</parameter>\n<parameter=content>\n{}\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=read_file>\n<parameter=path>\na.txt\n</parameter>\n<parameter=offset>\n3\n</parameter>\n</function>\n</tool_call>",
    calls: [
      ["write_file", { path: "42", content: "{}" }],
      ["read_file", { path: "a.txt", offset: 3 }],
    ],
  },
  {
    name: "Qwen3-Coder: cut",
    written:
      "<tool_call>\n<function=write_file>\n<parameter=path>\na.txt\n</parameter>\n<parameter=content>\nhal",
    calls: [["write_file", "truncated tool call"]],
  },
  {
    name: "Qwen3-Coder: malformed",
    written:
      "<tool_call>\n<function=write_file>\n<parameter=path>\na.txt\n</parameter>\ncontent: b\n</function>\n</tool_call>\nSo.",
    text: "So.",
    calls: [["write_file", "malformed"]],
  },
  {
    name: "GLM-4.5",
    written:
      "I look.\n<tool_call>read_file\n<arg_key>path</arg_key>\n<arg_value>a.txt</arg_value>\n<arg_key>limit</arg_key>\n<arg_value>5</arg_value>\n</tool_call>",
    text: "I look.\n",
    calls: [["read_file", { path: "a.txt", limit: 5 }]],
  },
  {
    name: "GLM-4.7: no line ends, onto the text",
    written:
      "Let me look at the file<tool_call>read_file<arg_key>path</arg_key><arg_value>a.txt</arg_value></tool_call><tool_call>list_dir</tool_call>",
    text: "Let me look at the file",
    calls: [readA, ["list_dir", {}]],
  },
  {
    name: "GLM: cut",
    written: "<tool_call>read_file<arg_key>path</arg_key><arg_value>a.t",
    calls: [["read_file", "truncated tool call"]],
  },
  {
    name: "MiniMax M2",
    written:
      '<think>\nhm\n</think>\n\nI write.\n<minimax:tool_call>\n<invoke name="write_file">\n<parameter name="path">a.txt</parameter>\n<parameter name="content">one\ntwo\n</parameter>\n</invoke>\n<invoke name="search_files"><parameter name="patterns">["x"]</parameter></invoke>\n</minimax:tool_call>[e~[',
    thinking: "hm\n",
    text: "I write.\n",
    calls: [
      ["write_file", { path: "a.txt", content: "one\ntwo\n" }],
      ["search_files", { patterns: ["x"] }],
    ],
  },
  {
    name: "MiniMax M2: inside the thought",
    written:
      '<think>I should look.\n<minimax:tool_call>\n<invoke name="read_file">\n<parameter name="path">a.txt</parameter>\n</invoke>\n</minimax:tool_call>\n</think>\n',
    thinking: "I should look.\n",
    calls: [readA],
  },
  {
    name: "MiniMax M2: cut",
    written: '<minimax:tool_call>\n<invoke name="read_file">\n<parameter name="path">a.txt</param',
    calls: [["read_file", "truncated tool call"]],
  },
  {
    name: "MiniMax M3",
    written: `<mm:think>hm</mm:think>I look.\n${p}<tool_call>\n${p}<invoke name="search_files">\n${p}<patterns>${p}<item>a${p}</item>${p}<item>b <c>${p}</item>${p}</patterns>\n${p}<options>${p}<depth>3${p}</depth>${p}</options>\n${p}</invoke>\n${p}<invoke name="read_file">${p}<path>a.txt${p}</path>${p}</invoke>\n${p}</tool_call>`,
    thinking: "hm",
    text: "I look.\n",
    calls: [["search_files", { patterns: ["a", "b <c>"], options: { depth: 3 } }], readA],
  },
  {
    name: "MiniMax M3: cut",
    written: `${p}<tool_call>\n${p}<invoke name="read_file">${p}<path>a.t`,
    calls: [["read_file", "truncated tool call"]],
  },
  {
    name: "MiniMax, old",
    written:
      '[TOOL_CALL]\n{tool => "run_command", args => {\n  --command "ls -la \\"x y\\""\n  --timeout_seconds 5\n}}\n[/TOOL_CALL]',
    calls: [["run_command", { command: 'ls -la "x y"', timeout_seconds: 5 }]],
  },
  {
    name: "MiniMax, old, with JSON",
    written: '[TOOL_CALL]{"name": "read_file", "arguments": {"path": "a.txt"}}[/TOOL_CALL]',
    calls: [readA],
  },
  {
    name: "Anthropic",
    written:
      'I look.\n\n<function_calls>\n<invoke name="read_file">\n<parameter name="path">a.txt</parameter>\n</invoke>\n</function_calls>',
    text: "I look.\n\n",
    calls: [readA],
  },
  {
    name: "Anthropic: wrapper missing",
    written:
      '<invoke name="read_file">\n<parameter name="path">a.txt</parameter>\n</invoke>\n</function_calls>',
    calls: [readA],
  },
  {
    name: "Mistral: a list",
    written:
      'I look.[TOOL_CALLS] [{"name": "read_file", "arguments": {"path": "a.txt"}}, {"name": "list_dir", "arguments": {}, "id": "abc123def"}]',
    text: "I look.",
    calls: [readA, ["list_dir", {}, "abc123def"]],
  },
  {
    name: "Mistral: names",
    written:
      '[TOOL_CALLS]read_file[ARGS]{"path": "a.txt"}[TOOL_CALLS]list_dir[CALL_ID]x1[ARGS]{}</s>',
    calls: [readA, ["list_dir", {}, "x1"]],
  },
  {
    name: "Mistral: cut",
    written: '[TOOL_CALLS]read_file[ARGS]{"path": "a.',
    calls: [["read_file", "truncated tool call"]],
  },
  {
    name: "Kimi",
    written:
      'I look:<|tool_calls_section_begin|><|tool_call_begin|>functions.read_file:0<|tool_call_argument_begin|>{"path": "a.txt"}<|tool_call_end|><|tool_call_begin|>functions.list_dir:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>',
    text: "I look:",
    calls: [
      ["read_file", { path: "a.txt" }, "functions.read_file:0"],
      ["list_dir", {}, "functions.list_dir:1"],
    ],
  },
  {
    name: "Kimi: cut",
    written:
      '<|tool_calls_section_begin|><|tool_call_begin|>functions.read_file:0<|tool_call_argument_begin|>{"path": "a.txt"}',
    calls: [["read_file", "truncated tool call"]],
  },
  {
    name: "DeepSeek V3.1",
    written:
      'I look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>read_file<｜tool▁sep｜>{"path": "a.txt"}<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>',
    text: "I look.",
    calls: [readA],
  },
  {
    name: "DeepSeek V3 and R1",
    written: `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>read_file\n${fenceMark}json\n{"path": "a.txt"}\n${fenceMark}<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>list_dir\n${fenceMark}json\n{}\n${fenceMark}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
    calls: [readA, ["list_dir", {}]],
  },
  {
    name: "Llama",
    written:
      '<|python_tag|>{"name": "read_file", "parameters": {"path": "a.txt"}}; {"type": "function", "name": "list_dir", "parameters": {}}<|eom_id|>',
    calls: [readA, ["list_dir", {}]],
  },
  {
    name: "gpt-oss: a channel leaks into the name",
    written:
      '<tool_call>{"name": "read_file<|channel|>commentary", "arguments": {"path": "a.txt"}}</tool_call>',
    calls: [readA],
  },
  {
    name: "a model that plays the tool's part, too",
    written:
      '<tool_call>{"name": "read_file", "arguments": {"path": "a.txt"}}</tool_call>\n<tool_response>\n<tool_call>{"name": "list_dir", "arguments": {}}</tool_call>\n</tool_response>\nDone.',
    text: '<tool_response>\n<tool_call>{"name": "list_dir", "arguments": {}}</tool_call>\n</tool_response>\nDone.',
    calls: [readA],
  },
  {
    name: "a thought that was never closed before its call",
    written:
      '<think>\nI read it.\n<tool_call>\n{"name": "read_file", "arguments": {"path": "a.txt"}}\n</tool_call>',
    thinking: "I read it.\n",
    calls: [readA],
  },
];

const hermes = '<tool_call>{"name": "read_file", "arguments": {"path": "a.txt"}}</tool_call>';
const qwen = "<function=read_file>\n<parameter=path>\na.txt\n</parameter>\n</function>";
const minimax =
  '<minimax:tool_call>\n<invoke name="read_file">\n<parameter name="path">a.txt</parameter>\n</invoke>\n</minimax:tool_call>';
const bare = '{"name": "read_file", "arguments": {"path": "a.txt"}}';

/** All of it is text, byte for byte; no call. */
export const negativeSamples: readonly string[] = [
  '<pre>\n<tool_call>{"name": "read_file", "arguments": {"path": "a.txt"}}</tool_call>\n</pre>',
  '<code>\n<tool_call>{"name": "read_file", "arguments": {"path": "a.txt"}}</tool_call>\n</code>\n',
  // Prose about the notation.
  "Models write a <tool_call> tag and close it with </tool_call>.",
  'The <tool_call> tag holds JSON such as {"name": "read_file"}.',
  `The format is ${hermes}, as you know.`,
  `Write ${hermes} to read a file.`,
  `${hermes} is how a model reads a file.`,
  `For example: ${hermes}`,
  `For example:\n\n${hermes}\n\nThat reads a file.`,
  `A tool call looks like this:\n${hermes}`,
  `In quotes: "${hermes}"`,
  `(${hermes})`,
  `You wrote: ${hermes}`,
  `He said ${hermes} and left.`,
  "Use <function=read_file> with a parameter.",
  "<function=read_file> is the first line, then the parameters.",
  `Qwen writes ${qwen} for this.`,
  `The syntax of MiniMax is: ${minimax}`,
  "Mistral writes [TOOL_CALLS] before the list.",
  "[TOOL_CALLS] is a special token, [ARGS] another.",
  "The token <|python_tag|> starts a call of Llama.",
  "Kimi: <|tool_calls_section_begin|> and then <|tool_call_begin|>functions.x:0.",
  "DeepSeek's <｜tool▁calls▁begin｜> is no ASCII.",
  "The word ]<]minimax[>[ is a prefix.",
  "[TOOL_CALL] and [/TOOL_CALL] are MiniMax's old brackets.",
  // Inline code and fences.
  `Use \`${hermes}\` to read.`,
  `Use \`\`${hermes}\`\` to read.`,
  `\`\`\`xml\n${hermes}\n\`\`\``,
  `Like so:\n\`\`\`\n${qwen}\n\`\`\`\n`,
  `~~~\n${minimax}\n~~~\nThat is all.`,
  `\`\`\`\`md\n\`\`\`\n${hermes}\n\`\`\`\n\`\`\`\`\n`,
  `- a list\n  \`\`\`\n  x\n${hermes}\n  \`\`\`\n`,
  `\`\`\`json\n${bare}\n\`\`\`\nThis is how it looks.`,
  `\`\`\`python\nprint(1)\n${hermes}`,
  `Indented code:\n\n    ${hermes}\n`,
  // Listings, quotations and tool results.
  `> ${hermes}\n`,
  `12:${hermes}\n`,
  `12\t${hermes}\n`,
  `+${hermes}\n-${hermes}\n`,
  `| a | ${hermes} |\n`,
  `<tool_response>\n${hermes}\n</tool_response>\n`,
  `<function_results>\n${minimax}\n</function_results>`,
  `The file contains:\n"${hermes}"`,
  // Bare JSON that is not the rest of the answer, or no call.
  `${bare}\nThat would read it.`,
  '{"name": "opta", "version": "1.0.0"}',
  '{"name": "read_file", "description": "Reads.", "parameters": {"type": "object"}}',
  '{"name": "read_file", "arguments": {"file": "a.txt"}}',
  '{"name": "read_file", "arguments": {"path": 5}}',
  '{"name": "no_such_tool", "arguments": {}}',
  '{"name": "read_file", "arguments": {"path": "a.t',
  `Result: ${bare}`,
  "{\n  int a = 1;\n}\n",
  // Unknown names.
  '<tool_call>{"name": "no_such_tool", "arguments": {"path": "a.txt"}}</tool_call>',
  "<tool_call>\n<function=no_such_tool>\n<parameter=path>\na\n</parameter>\n</function>\n</tool_call>",
  "<tool_call>no_such_tool<arg_key>path</arg_key><arg_value>a</arg_value></tool_call>",
  '[TOOL_CALLS][{"name": "no_such_tool", "arguments": {}}]',
  // Half tags and what only begins like one.
  "<tool_call>",
  "a <tool_ca",
  "<",
  "[",
  "]<]mini",
  "<tool_call></tool_call>",
  "</tool_call>",
  "<tool_call>\n\n</tool_call>\n",
  "if (a <b && c[0]) { x[i] = `${y}` }",
  '<div class="a"><invoke></invoke></div>\n<thinking>no</thinking>\n',
  "Generics: Map<string, Array<number>> and <T,>() => <function>",
  "<tool_calls>\nnot a notation\n</tool_calls>",
  "The <think> tag and its </think> are for reasoning.",
  "Use `</think>` to close.",
  "see [1], [2] and [TODO] [x]\n",
];
