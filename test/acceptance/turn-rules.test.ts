// What ends a turn besides an answer, on the built binary: circles, silence, limits; and how a turn that was
// cut is gone on with.
import { expect, test } from "bun:test";
import { builtOpta } from "../support/binary.ts";
import { eventsOf, optaDo } from "../support/do.ts";
import { startScripted } from "../support/lmx.ts";
import { createPlace } from "../support/workspace.ts";

const read = (path: string) => ({ name: "read_file", arguments: { path } });

test("the same call with the same result three times in a row ends the turn, and says why", async () => {
  using place = createPlace({ "a.txt": "x\n" });
  await using lmx = await startScripted({ turns: [{ toolCalls: [read("a.txt")] }], loop: true });
  const run = await optaDo(["go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(7);
  expect(run.stderr).toStartWith(
    "opta: the model goes in circles: read_file ran 3 times in a row with the same arguments and the same result\n",
  );
  expect(lmx.requests).toHaveLength(3);
  expect(
    place
      .sessions()[0]
      ?.messages.map(({ role }) => role)
      .slice(-2),
  ).toEqual(["tool", "assistant"]);
});

test("another call in between, or another result, is no circle", async () => {
  using place = createPlace({ "a.txt": "x\n", "b.txt": "y\n" });
  const turns = ["a", "a", "b", "a", "a"].map((name) => ({ toolCalls: [read(`${name}.txt`)] }));
  await using lmx = await startScripted({ turns: [...turns, { text: "fine" }] });
  expect((await optaDo(["go"], { place, port: lmx.port })).stdout).toBe("fine\n");
  const append = { name: "run_command", arguments: { command: "echo x >> a.txt; wc -l < a.txt" } };
  await using counting = await startScripted({
    turns: [...Array(4).fill({ toolCalls: [append] }), { text: "counted" }],
  });
  const run = await optaDo(["--dangerous", "go"], { place, port: counting.port });
  expect(run.stdout).toBe("counted\n");
});

test("an empty answer is nudged once, byte for byte behind what was sent", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [{ thinking: "hm" }, { expect: "Your last answer was empty", text: "Here I am." }],
  });
  const run = await optaDo(["-f", "json", "go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(0);
  const done = eventsOf(run).find((event) => event.event === "turn.done");
  expect(done?.event === "turn.done" && done.payload.stats.steps).toBe(2);
  const [first = "", second = ""] = lmx.chatTexts();
  expect(second.startsWith(`${first.slice(0, -"]}".length)},`)).toBe(true);
});

test("a second empty answer is an error, and the session can go on", async () => {
  using place = createPlace({ "a.txt": "x\n" });
  await using lmx = await startScripted({
    turns: [{ text: "" }, { toolCalls: [read("a.txt")] }, { text: " \n" }, { text: "back" }],
  });
  const run = await optaDo(["go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(5);
  expect(run.stderr).toContain("answered with nothing, twice");
  expect(lmx.requests).toHaveLength(3);
  const next = await optaDo(["--continue", "again"], { place, port: lmx.port });
  expect(next.stdout).toBe("back\n");
});

test("--continue without a task goes on with an answer that was cut, and only with such", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [
      { text: "one, two,", finishReason: "length" },
      { expect: "Go on exactly where it stopped", text: "three." },
    ],
  });
  const where = { place, port: lmx.port };
  const cut = await optaDo(["count"], where);
  expect(cut.exitCode).toBe(7);
  const id = place.sessions()[0]?.id;
  expect(cut.stderr).toContain(`opta do --resume ${id}\n`);
  const on = await optaDo(["--continue"], where);
  expect(on.stdout).toBe("three.\n");
  const again = await optaDo(["--continue"], where);
  expect(again.exitCode).toBe(2);
  expect(again.stderr).toContain("is finished: say what to do next");
  expect(lmx.requests).toHaveLength(2);
  expect((await optaDo([], where)).stderr).toContain("there is no task");
});

test("--resume without a task goes on after an interruption, and waits for no silent stdin", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [
      { text: "half an ans", fault: { kind: "drop", atChunk: 2 } },
      { expect: "Go on exactly where it stopped", text: "wer." },
    ],
  });
  const where = { place, port: lmx.port };
  expect((await optaDo(["go"], where)).exitCode).toBe(5);
  const id = place.sessions()[0]?.id ?? "";
  const child = Bun.spawn([await builtOpta(), "do", "--resume", id], {
    cwd: place.workspace,
    env: { HOME: place.home, OPTA_HOST: "127.0.0.1", OPTA_PORT: String(lmx.port) },
    stdin: "pipe", // never written to, never closed
    stdout: "pipe",
  });
  expect(await new Response(child.stdout).text()).toBe("wer.\n");
  expect(await child.exited).toBe(0);
});
