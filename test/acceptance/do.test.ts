// The main job on the built binary: a prompt becomes an answer and an edited file.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { builtOpta } from "../support/binary.ts";
import { eventsOf, optaDo, startOptaDo } from "../support/do.ts";
import { startScripted } from "../support/lmx.ts";
import { createPlace } from "../support/workspace.ts";

const edit = {
  name: "edit_file",
  arguments: { path: "a.txt", old_text: "banana", new_text: "cherry" },
};
const editingTurns = [
  { text: "Reading.", toolCalls: [{ name: "read_file", arguments: { path: "a.txt" } }] },
  { expect: "banana", text: "Editing.", toolCalls: [edit] },
  { text: "It says cherry now." },
];

test("a task becomes an edited file, an answer on stdout and a saved session", async () => {
  using place = createPlace({ "a.txt": "banana\n" });
  await using lmx = await startScripted({ turns: editingTurns });
  const run = await optaDo(["--auto", "make it cherry"], { place, port: lmx.port });
  expect(run.stderr).toBe("");
  expect(run.stdout).toBe("Reading.\nEditing.\nIt says cherry now.\n");
  expect(run.exitCode).toBe(0);
  expect(place.read("a.txt")).toBe("cherry\n");

  const [session] = place.sessions();
  expect(session?.title).toBe("make it cherry");
  expect(session?.metadata.workspace).toBe(place.workspace);
  expect(session?.messages.map((message) => message.role)).toEqual([
    "system",
    "user",
    "assistant",
    "tool",
    "assistant",
    "tool",
    "assistant",
  ]);
  expect(session?.toolCallCount).toBe(2);
  expect(place.sessionEntries()).toEqual([`${session?.id}.json`]);
});

test("a word is printed as soon as the model has said it, not with the next one (lesson 5)", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [{ text: ["first ", "second"], delays: { betweenChunksMs: 120_000 } }],
  });
  await using started = await startOptaDo(["go"], { place, port: lmx.port });
  const { value } = await started.process.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("first ");
  started.process.kill("SIGINT");
  expect(await started.process.exited).toBe(130);
});

test("-f json prints every event of the turn, numbered from 1 without a gap", async () => {
  using place = createPlace({ "a.txt": "banana\n" });
  await using lmx = await startScripted({ turns: editingTurns });
  const run = await optaDo(["--auto", "-f", "json", "make it cherry"], { place, port: lmx.port });
  const events = eventsOf(run);
  expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
  const kinds = events.map((event) => event.event).filter((kind) => kind !== "turn.token");
  expect(kinds).toEqual([
    "session.snapshot",
    "turn.queued",
    "turn.start",
    "tool.start",
    "tool.result",
    "tool.start",
    "tool.result",
    "turn.done",
    "session.updated",
  ]);
  const done = events.at(-2);
  expect(done?.event === "turn.done" && done.payload.stats).toMatchObject({
    steps: 3,
    toolCalls: 2,
    deniedCalls: 0,
    finishReason: "stop",
  });
});

test("the next turn of a session goes on behind the seq that clients saw", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [{ text: "one" }, { text: "two" }] });
  const first = eventsOf(await optaDo(["-f", "json", "first"], { place, port: lmx.port }));
  const second = eventsOf(
    await optaDo(["-f", "json", "--continue", "second"], { place, port: lmx.port }),
  );
  const lastSeen = first.at(-1)?.seq ?? 0;
  expect(second[0]?.seq).toBe(lastSeen + 1);
  expect(second[0]?.sessionId).toBe(first[0]?.sessionId ?? "");
});

test("the number of model requests of a turn is the number of its steps", async () => {
  using place = createPlace({ "a.txt": "banana\n" });
  await using lmx = await startScripted({ turns: editingTurns });
  await optaDo(["--auto", "make it cherry"], { place, port: lmx.port });
  expect(lmx.requests).toHaveLength(3);
});

test("the first request is at most 8 KB, system prompt and twelve tools included", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [{ text: "hello" }] });
  await optaDo(["hi"], { place, port: lmx.port });
  const [chat] = lmx.chats();
  expect(chat?.tools?.map((tool) => tool.function.name)).toEqual([
    "ask_user",
    "delete_file",
    "edit_file",
    "find_files",
    "list_dir",
    "multi_edit",
    "read_file",
    "run_command",
    "search_files",
    "web_fetch",
    "web_search",
    "write_file",
  ]);
  expect(Buffer.byteLength(lmx.chatTexts()[0] ?? "")).toBeLessThanOrEqual(8 * 1024);
});

test("over a turn of ten steps, and into the next, each request is a byte prefix of the one after it", async () => {
  using place = createPlace({ "a.txt": "x\n" });
  const step = (index: number) => ({
    text: ` step ${index} \n`,
    toolCalls: [{ name: "read_file", arguments: { path: "a.txt", limit: index } }],
  });
  await using lmx = await startScripted({
    turns: [
      ...Array.from({ length: 9 }, (_, index) => step(index + 1)),
      { text: "a " },
      { text: "b" },
    ],
  });
  await optaDo(["go"], { place, port: lmx.port });
  await optaDo(["--continue", "on"], { place, port: lmx.port });
  const texts = lmx.chatTexts();
  expect(texts).toHaveLength(11);
  for (let index = 1; index < texts.length; index++) {
    // Only the closing of the list of messages and of the object may differ.
    const before = (texts[index - 1] ?? "").slice(0, -"]}".length);
    expect(texts[index]?.startsWith(`${before},`)).toBe(true);
  }
});

test("two sessions in two directories on one day share every byte up to the user's message", async () => {
  await using lmx = await startScripted({ turns: [{ text: "a" }, { text: "b" }] });
  for (const prompt of ["first", "second"]) {
    using place = createPlace();
    await optaDo([prompt], { place, port: lmx.port });
  }
  const [first = "", second = ""] = lmx.chatTexts();
  const shared = first.slice(0, first.indexOf('{"role":"user"'));
  expect(shared.length).toBeGreaterThan(3000);
  expect(second.startsWith(shared)).toBe(true);
});

test("the project's instructions follow the system prompt; date and branch stand in the user's message", async () => {
  using place = createPlace({
    "AGENTS.md": "Always use tabs.",
    ".git/HEAD": "ref: refs/heads/topic\n",
  });
  await using lmx = await startScripted({ turns: [{ text: "ok" }] });
  await optaDo(["hi"], { place, port: lmx.port });
  const [system, user] = lmx.chats()[0]?.messages ?? [];
  expect(system?.content).toEndWith("# Project instructions (AGENTS.md)\n\nAlways use tabs.");
  expect(system?.content).not.toMatch(/\d{4}-\d\d-\d\d|topic/);
  expect(user?.content).toMatch(/^hi\n\n<context>\n[^]*date: \d{4}-\d\d-\d\d\ngit branch: topic\n/);
});

test("read-only calls of one step run at once, and their results keep the order of the calls", async () => {
  using place = createPlace({ "a.txt": "A\n", "b.txt": "B\n" });
  const read = (path: string) => ({ name: "read_file", arguments: { path } });
  await using lmx = await startScripted({
    turns: [{ toolCalls: [read("a.txt"), read("b.txt"), read("none")] }, { text: "ok" }],
  });
  const run = await optaDo(["-f", "json", "read"], { place, port: lmx.port });
  expect(run.exitCode).toBe(0);
  const kinds = eventsOf(run).map((event) => event.event);
  expect(kinds.filter((kind) => kind.startsWith("tool."))).toEqual([
    ...Array(3).fill("tool.start"),
    ...Array(3).fill("tool.result"),
  ]);
  const results = lmx
    .chats()[1]
    ?.messages.slice(-3)
    .map((message) => String(message.content));
  expect(results?.[0]).toContain("A");
  expect(results?.[1]).toContain("B");
  expect(results?.[2]).toContain("none");
});

test("text goes to a pipe byte for byte, escape sequences and spaces included", async () => {
  using place = createPlace();
  const text = ["  a\t", "b  ", "\u001b[31mred", " \u00e9", "\n\n end "];
  await using lmx = await startScripted({ turns: [{ text }] });
  const run = await optaDo(["hi"], { place, port: lmx.port });
  expect(run.stdout).toBe(`${text.join("")}\n`);
});

test("piped input is part of the task, and - waits for it", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [{ text: "a" }, { text: "b" }] });
  const piped = { place, port: lmx.port, options: { stdin: "+ new line\n" } };
  await optaDo(["review", "this"], piped);
  await optaDo(["-"], piped);
  const prompts = lmx
    .chats()
    .map((chat) => String(chat.messages.at(-1)?.content).split("\n\n<context>")[0]);
  expect(prompts).toEqual(["review this\n\n+ new line\n", "+ new line\n"]);
});

test("an open pipe that says nothing does not hang the command", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [{ text: "done" }] });
  const child = Bun.spawn([await builtOpta(), "do", "hi"], {
    cwd: place.workspace,
    env: { HOME: place.home, OPTA_HOST: "127.0.0.1", OPTA_PORT: String(lmx.port) },
    stdin: "pipe", // never written to, never closed
    stdout: "pipe",
    stderr: "ignore",
  });
  expect(await new Response(child.stdout).text()).toBe("done\n");
  expect(await child.exited).toBe(0);
});

test("a pipe that is late is not read, which is said, and - waits for it", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [{ text: "a" }, { text: "b" }] });
  const prefix = ["bash", "-c", '(sleep 1.5; echo late) | "$@"', "bash"];
  const where = { place, port: lmx.port, options: { prefix } };
  const early = await optaDo(["review"], where);
  expect(early.stderr).toBe(
    'opta: stdin is open but silent, so it is not read; to wait for it: opta do - "…"\n',
  );
  const patient = await optaDo(["-", "review"], where);
  expect(patient.stderr).toBe("");
  expect(String(lmx.chats()[1]?.messages.at(-1)?.content)).toStartWith("review\n\nlate\n");
});

test("a directory that was deleted, and two sessions at once, are refused in words", async () => {
  using place = createPlace();
  const prefix = ["bash", "-c", 'mkdir gone; cd gone; rmdir ../gone; "$@"', "bash"];
  const gone = await optaDo(["hi"], { place, port: 1, options: { prefix } });
  expect(gone.exitCode).toBe(1);
  expect(gone.stderr).toBe('opta: the current directory no longer exists\n  cd "$HOME"\n');
  const both = await optaDo(["--resume", "x", "--continue", "hi"], { place, port: 1 });
  expect(both.exitCode).toBe(2);
});

test("-o keeps the answer of the last step in a file, and an unwritable one is an error", async () => {
  using place = createPlace({ "a.txt": "banana\n" });
  await using lmx = await startScripted({ turns: [...editingTurns, { text: "again" }] });
  await optaDo(["--auto", "-o", "answer.md", "go"], { place, port: lmx.port });
  expect(readFileSync(join(place.workspace, "answer.md"), "utf8")).toBe("It says cherry now.\n");
  const asked = lmx.requests.length;
  for (const path of ["no/such/dir/x", ".", ""]) {
    const run = await optaDo([`--output=${path}`, "go"], { place, port: lmx.port });
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain(path);
  }
  expect(lmx.requests).toHaveLength(asked); // said before the model is asked
});

test("-o keeps what was the answer, not what turned out to be reasoning", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [{ text: "Let me think.\n</think>\n\nThe answer." }],
  });
  await optaDo(["-o", "answer.md", "go"], { place, port: lmx.port });
  expect(place.read("answer.md")).toBe("The answer.\n");
});

test("that the server trims the conversation is told once, also when nobody watches", async () => {
  using place = createPlace();
  const usage = { promptTokens: 20, completionTokens: 2 };
  await using lmx = await startScripted({
    turns: [
      { text: "a", usage },
      { text: "b", usage },
    ],
  });
  const long = { place, port: lmx.port, options: { stdin: "word ".repeat(3000) } };
  expect((await optaDo(["-"], long)).stderr).toContain("it trims the conversation");
  const again = await optaDo(["--continue", "on"], { place, port: lmx.port });
  expect(again.stderr).toBe("");
});

test("--cwd names the workspace; one that is not there is said so", async () => {
  using place = createPlace({ "sub/a.txt": "banana\n" });
  await using lmx = await startScripted({ turns: [{ text: "ok" }] });
  const run = await optaDo(["--cwd", "sub", "go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(0);
  expect(place.sessions()[0]?.metadata.workspace).toBe(join(place.workspace, "sub"));
  const lost = await optaDo(["--cwd", "nowhere", "go"], { place, port: lmx.port });
  expect(lost.exitCode).toBe(1);
  expect(lost.stderr).toContain("nowhere is not a directory");
});

test("one step is one step", async () => {
  using place = createPlace({ "a.txt": "x\n" });
  const read = { toolCalls: [{ name: "read_file", arguments: { path: "a.txt" } }] };
  await using lmx = await startScripted({ turns: [read, { text: "fine" }] });
  const run = await optaDo(["--max-steps", "1", "go"], { place, port: lmx.port });
  expect(run.stderr).toStartWith("opta: stopped after 1 step without an answer\n");
});

test("--max-steps bounds the turn: exit 7, and the session can be continued", async () => {
  using place = createPlace({ "a.txt": "x\n" });
  const read = { toolCalls: [{ name: "read_file", arguments: { path: "a.txt" } }] };
  await using lmx = await startScripted({ turns: [read, read, { text: "fine" }] });
  const run = await optaDo(["--max-steps", "2", "go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(7);
  expect(run.stderr).toBe(
    `opta: stopped after 2 steps without an answer\n  opta do --resume ${place.sessions()[0]?.id}\n`,
  );
  const next = await optaDo(["--continue", "go on"], { place, port: lmx.port });
  expect(next.stdout).toBe("fine\n");
});

test("an answer cut at the output limit is marked: exit 7, not a success", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [{ text: "half", finishReason: "length" }] });
  const run = await optaDo(["go"], { place, port: lmx.port });
  expect(run.stdout).toBe("half\n");
  expect(run.exitCode).toBe(7);
  expect(run.stderr).toContain("output limit");
});

test("arguments that are no JSON, or do not fit, or name no tool are told to the model, and nothing runs", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [
      {
        toolCalls: [
          { name: "write_file", arguments: '{"path": "a' },
          { name: "write_file", arguments: { path: 1 } },
          { name: "launch", arguments: {} },
        ],
      },
      { text: "sorry" },
    ],
  });
  const run = await optaDo(["--dangerous", "go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(0);
  const results = lmx
    .chats()[1]
    ?.messages.slice(-3)
    .map((message) => String(message.content));
  expect(results?.[0]).toContain("not valid JSON");
  expect(results?.[1]).toContain("path");
  expect(results?.[2]).toContain("there is no tool named launch");
  // Sent back as {}: half an argument would break a server's chat template.
  expect(lmx.chatTexts()[1]).toContain('"name":"write_file","arguments":"{}"');
});
