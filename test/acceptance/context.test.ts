// The context window on the built binary: prompts that stay byte for byte, one compaction when it must be, and
// windows so small that a careless agent would loop.
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { opta } from "../support/binary.ts";
import { eventsOf, optaDo } from "../support/do.ts";
import { prefixBreaks, startEndlessModel } from "../support/endless-model.ts";
import { createPlace, type Place } from "../support/workspace.ts";

const line = "const value = computeSomething(argument, another);\n";
const read = (limit: number, path = "big.txt") => ({
  name: "read_file",
  arguments: { path, limit },
});

function statsOf(run: Parameters<typeof eventsOf>[0]) {
  const done = eventsOf(run).find((event) => event.event === "turn.done");
  if (done === undefined) throw new Error(`no turn.done: ${run.stderr}`);
  return done.payload.stats;
}

function sideDirectory(place: Place): string {
  const [session] = place.sessions();
  return join(place.home, ".config/opta/sessions", session?.id ?? "");
}

test("over 30 steps in three turns, resumed and denied, each request is a byte prefix of the next but for one compaction", async () => {
  using place = createPlace({ "big.txt": line.repeat(40) });
  // Long thoughts aloud fill the window of 16k although results can be masked: the summary is needed, once.
  using model = startEndlessModel({
    window: 16_384,
    step(number) {
      if (number === 12 || number === 22 || number === 30) return { text: `Turn done. ` };
      if (number === 17) return { calls: [{ name: "run_command", arguments: { command: "ls" } }] };
      const text = number <= 15 ? `Step ${number}. ${"I look at the code. ".repeat(45)}` : "On. ";
      return { text, calls: [read(number <= 15 ? 20 + number : 1 + (number % 7))] };
    },
  });
  const where = { place, port: model.port };
  const first = await optaDo(["-f", "json", "read it all"], where);
  const second = await optaDo(["-f", "json", "--continue", "and now again"], where);
  const id = place.sessions()[0]?.id ?? "";
  const third = await optaDo(["-f", "json", "--resume", id, "once more"], where);

  expect(model.refusals).toEqual([]);
  expect([first, second, third].map((run) => run.exitCode)).toEqual([0, 6, 0]);
  expect([first, second, third].map((run) => statsOf(run).steps)).toEqual([12, 10, 8]);
  const compactions = [first, second, third].map((run) => statsOf(run).compactions);
  expect(compactions.reduce((sum, count) => sum + count)).toBe(1);
  expect(model.requests).toHaveLength(31);
  expect(prefixBreaks(model.requests)).toHaveLength(1);
  // The break is where the summary was asked for, and nowhere else.
  const summaryAt = model.requests.findIndex((request) => request.isSummary);
  expect(prefixBreaks(model.requests)).toEqual([summaryAt - 1]);

  const [session] = place.sessions();
  expect(session?.compacted).toBe(true);
  const kept = join(sideDirectory(place), "history-1.json");
  expect(statSync(kept).mode & 0o777).toBe(0o600);
  expect(readFileSync(kept, "utf8")).toContain("Step 1. ");
  expect(JSON.stringify(session?.messages)).not.toContain("Step 1. ");
});

test("what is summarised keeps the system message, the user's last message and the newest steps as they were", async () => {
  using place = createPlace({ "big.txt": line.repeat(40), "AGENTS.md": "Use tabs." });
  using model = startEndlessModel({
    window: 12_288,
    step: (number) =>
      number === 14
        ? { text: "Done." }
        : { text: `Step ${number}. ${"I look. ".repeat(120)}`, calls: [read(20 + number)] },
    summary: () => ({ text: "FACTS: value is computed." }),
  });
  const run = await optaDo(["-f", "json", "mind the gap"], { place, port: model.port });
  expect(run.exitCode).toBe(0);
  const summaryAt = model.requests.findIndex((request) => request.isSummary);
  const before = model.requests[summaryAt - 1]?.messages ?? [];
  const after = model.requests[summaryAt + 1]?.messages ?? [];
  expect(after[0]).toEqual(before[0] as never);
  expect(after[1]?.content).toContain("FACTS: value is computed.");
  expect(after[1]?.content).toEndWith(before[1]?.content ?? "?");
  expect(after.length).toBeLessThan(before.length);
  expect(after.length).toBeGreaterThan(3);
  expect(after.slice(-2)[0]?.role).toBe("assistant");
  // The transcript that was summarised travels without tools and tells what was called.
  const asked = model.requests[summaryAt]?.messages.at(-1)?.content ?? "";
  expect(asked).toContain("[calls read_file");
  expect(asked).toContain("Step 1.");
  const notes = eventsOf(run).flatMap((event) =>
    event.event === "turn.progress" ? [event.payload.message] : [],
  );
  expect(notes).toContain("compacting the conversation");
});

test("old results are masked first, which costs no model request, and say how to get them again", async () => {
  using place = createPlace({ "big.txt": line.repeat(200) });
  place.configure({ permissions: { rules: [{ decision: "allow", tool: "run_command" }] } });
  using model = startEndlessModel({
    window: 16_384,
    step(number) {
      if (number === 16) return { text: "Done." };
      const command = `head -c ${5000 + number} big.txt`;
      if (number === 1) return { calls: [{ name: "run_command", arguments: { command } }] };
      return { calls: [read(50 + number)] };
    },
  });
  const run = await optaDo(["-f", "json", "go"], { place, port: model.port });
  expect(statsOf(run)).toMatchObject({ steps: 16, compactions: 0 });
  expect(model.requests).toHaveLength(16);
  expect(prefixBreaks(model.requests)).toHaveLength(1);
  const results = (model.requests.at(-1)?.messages ?? []).filter(({ role }) => role === "tool");
  const masked = results.filter(({ content }) => content?.startsWith("[masked to save context"));
  expect(masked.length).toBeGreaterThan(1);
  expect(masked[1]?.content).toMatch(
    /read_file had [\d,]+ characters; if you need it, call it again]$/,
  );
  const path = /read_file (\S+)]$/.exec(masked[0]?.content ?? "")?.[1] ?? "";
  expect(readFileSync(path, "utf8")).toContain(line.repeat(50));
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(results.slice(-4).every(({ content }) => content?.includes("computeSomething"))).toBe(
    true,
  );
});

describe.each([2048, 4096, 8192])("in a window of %d tokens", (window) => {
  test("a model that reads for ever never makes opta loop, and no request exceeds the window", async () => {
    using place = createPlace({ "big.txt": line.repeat(400) });
    using model = startEndlessModel({
      window,
      step: (number) => ({ text: "Reading. ".repeat(9), calls: [read(30 + number)] }),
    });
    const run = await optaDo(["--max-steps", "40", "read it"], { place, port: model.port });
    expect(model.refusals).toEqual([]);
    expect(run.exitCode).toBe(7);
    const summaries = model.requests.filter((request) => request.isSummary).length;
    const steps = model.requests.length - summaries;
    expect(steps).toBeLessThanOrEqual(40);
    expect(summaries).toBeLessThanOrEqual(steps / 2);
    if (window === 2048) expect(model.requests.length).toBeLessThan(5);
    if (steps < 40) expect(run.stderr).toContain("compacting would free too little");
    // The session can be listed, read and gone on with.
    expect(place.sessions()[0]?.messages.at(-1)).toMatchObject({ role: "assistant" });
  });
});

test("a message that cannot fit ends the turn before any request, with the figures; a smaller one goes on", async () => {
  using place = createPlace();
  using model = startEndlessModel({ window: 8192, step: () => ({ text: "Yes." }) });
  const where = { place, port: model.port };
  const run = await optaDo([line.repeat(600)], where);
  expect(run.exitCode).toBe(7);
  expect(run.stderr).toMatch(
    /needs about [\d,]+ tokens, and the model's window of 8,192 leaves 6,144/,
  );
  expect(run.stderr).toContain(`opta context --session ${place.sessions()[0]?.id}`);
  expect(model.requests).toHaveLength(0);
  const next = await optaDo(["--continue", "shorter, then"], where);
  expect(next.stdout).toBe("Yes.\n");
  expect(model.refusals).toEqual([]);
});

test("results that would fill a small window are cut before they are sent, and say so", async () => {
  using place = createPlace({ "big.txt": line.repeat(900) });
  using model = startEndlessModel({
    window: 8192,
    step: (number) => (number === 1 ? { calls: [read(900), read(899)] } : { text: "ok" }),
  });
  const run = await optaDo(["go"], { place, port: model.port });
  expect(run.exitCode).toBe(0);
  const results = model.requests[1]?.messages.slice(-2) ?? [];
  for (const { content } of results) {
    expect(content).toMatch(
      /characters left out to fit the context window; ask for a smaller part]/,
    );
  }
  expect(prefixBreaks(model.requests)).toEqual([]);
});

test("a server that counts more tokens than estimated is believed: history is compacted earlier", async () => {
  const compactedAfter = async (tokensPerByte: number) => {
    using place = createPlace({ "big.txt": line.repeat(40) });
    using model = startEndlessModel({
      window: 32_768,
      step: (number, promptBytes) => ({
        ...(number === 24 ? { text: "ok" } : { calls: [read(16 + number)] }),
        promptTokens: Math.round(promptBytes * tokensPerByte),
      }),
    });
    await optaDo(["go"], { place, port: model.port });
    expect(model.refusals).toEqual([]);
    return prefixBreaks(model.requests)[0] ?? 24;
  };
  const asEstimated = await compactedAfter(0.31);
  const twiceAsMany = await compactedAfter(0.62);
  expect(twiceAsMany).toBeLessThan(asEstimated);
  expect(twiceAsMany).toBeGreaterThan(3);
});

test("a window that nobody knows is left to the server: nothing is compacted or cut", async () => {
  using place = createPlace({ "big.txt": line.repeat(900) });
  using model = startEndlessModel({
    window: null,
    step: (number) => (number === 8 ? { text: "ok" } : { calls: [read(800 + number)] }),
  });
  const run = await optaDo(["go"], { place, port: model.port });
  expect(run.exitCode).toBe(0);
  expect(prefixBreaks(model.requests)).toEqual([]);
  expect(readdirSync(join(place.home, ".config/opta/sessions"))).toHaveLength(1);
});

test("a summary that fails ends the turn with the server's words, and the history stays as it was", async () => {
  using place = createPlace({ "big.txt": line.repeat(40) });
  using model = startEndlessModel({
    window: 8192,
    step: (number) => ({ text: "I look. ".repeat(100), calls: [read(20 + number)] }),
    summary: () => ({ error: "Stream inference failed: out of luck" }),
  });
  const run = await optaDo(["go"], { place, port: model.port });
  expect(run.exitCode).toBe(5);
  expect(run.stderr).toContain("compacting the conversation failed");
  expect(run.stderr).toContain("out of luck");
  const [session] = place.sessions();
  expect(session?.compacted).toBe(false);
  expect(session?.messages).toHaveLength((model.requests.at(-2)?.messages.length ?? 0) + 3);
});

test("a model that only thinks when asked for a summary is helped out with the transcript itself", async () => {
  using place = createPlace({ "big.txt": line.repeat(40) });
  using model = startEndlessModel({
    window: 8192,
    step: (number) =>
      number === 10
        ? { text: "Done." }
        : { text: `Step ${number}. ${"I look. ".repeat(100)}`, calls: [read(20 + number)] },
    summary: () => ({ thinking: "hm, hm" }),
  });
  const run = await optaDo(["go"], { place, port: model.port });
  expect(run.exitCode).toBe(0);
  const summaryAt = model.requests.findIndex((request) => request.isSummary);
  expect(model.requests[summaryAt + 1]?.messages[1]?.content).toContain("Step 1.");
});

test("the user is told once a session that the server trims", async () => {
  using place = createPlace({ "big.txt": line.repeat(400) });
  using model = startEndlessModel({
    window: null,
    step: (number) =>
      number % 3 === 0
        ? { text: "ok", promptTokens: 2048 }
        : { calls: [read(390 + number)], promptTokens: 2048 },
  });
  const where = { place, port: model.port };
  const runs = [
    await optaDo(["-f", "json", "go"], where),
    await optaDo(["-f", "json", "--continue", "go"], where),
  ];
  const notes = runs
    .flatMap(eventsOf)
    .flatMap((event) =>
      event.event === "turn.progress" && event.payload.phase === "context"
        ? [event.payload.message]
        : [],
    );
  expect(notes).toHaveLength(1);
  expect(notes[0]).toMatch(/the server read 2,048 of at least [\d,]+ tokens: it trims/);
});

test("opta context shows what a new session and a used one cost", async () => {
  using place = createPlace({ "big.txt": line.repeat(40), "AGENTS.md": "Use tabs. ".repeat(40) });
  using model = startEndlessModel({
    window: 32_768,
    step: (number) => (number === 1 ? { calls: [read(40)] } : { text: "ok" }),
  });
  const options = {
    cwd: place.workspace,
    home: place.home,
    env: { OPTA_HOST: "127.0.0.1", OPTA_PORT: String(model.port) },
  };
  const fresh = await opta(["context"], options);
  expect(fresh.exitCode).toBe(0);
  expect(fresh.stdout).toMatch(/^window +32,768 tokens \(told by the server\)$/m);
  expect(fresh.stdout).toMatch(/^project instructions +\d+ +█/m);
  expect(fresh.stdout).toMatch(/^reserved for the answer +8,192 +█+ 25 %$/m);
  await optaDo(["go"], { place, port: model.port });
  const id = place.sessions()[0]?.id ?? "";
  const used = JSON.parse((await opta(["context", "--session", id, "--json"], options)).stdout);
  expect(used).toMatchObject({
    sessionId: id,
    window: 32_768,
    windowSource: "server",
    messages: 5,
  });
  expect(used.history).toBeGreaterThan(600);
  const parts = used.systemPrompt + used.instructions + used.tools + used.history;
  expect(used.left).toBe(32_768 - 8192 - parts);
});

test("opta context without a server says so and still tells what the prompt costs", async () => {
  using place = createPlace();
  const env = { OPTA_HOST: "127.0.0.1", OPTA_PORT: "1" };
  const run = await opta(["context"], { cwd: place.workspace, home: place.home, env });
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatch(/^model +unknown: .*127\.0\.0\.1:1/m);
  expect(run.stdout).toMatch(/^tools +[\d,]+$/m);
  expect(run.stdout).not.toContain("left");
});
