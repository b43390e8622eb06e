// Session files on the built binary: one writer at a time, files of other programs read and kept, corrupt ones
// set aside, and the commands over them.
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { opta } from "../support/binary.ts";
import { eventsOf, optaDo, startOptaDo } from "../support/do.ts";
import { startScripted } from "../support/lmx.ts";
import { createPlace, type Place } from "../support/workspace.ts";

const directoryOf = (place: Place) => join(place.home, ".config/opta/sessions");
const sessions = (place: Place, ...args: string[]) =>
  opta(["sessions", ...args], { cwd: place.workspace, home: place.home });

function plant(place: Place, name: string, content: string): string {
  const path = join(directoryOf(place), name);
  mkdirSync(directoryOf(place), { recursive: true, mode: 0o700 });
  writeFileSync(path, content);
  return path;
}

test("files are 0600 in a 0700 directory, and nothing else is left beside them", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [{ text: "a" }] });
  await optaDo(["go"], { place, port: lmx.port });
  expect(statSync(directoryOf(place)).mode & 0o777).toBe(0o700);
  const [name = ""] = place.sessionEntries();
  expect(statSync(join(directoryOf(place), name)).mode & 0o777).toBe(0o600);
  expect(place.sessionEntries()).toHaveLength(1);
});

test("the second process on a session is told who holds it, exit 1; the lock dies with its holder", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [{ text: "first" }, { text: "x", delays: { firstTokenMs: 60_000 } }, { text: "free" }],
  });
  await optaDo(["go"], { place, port: lmx.port });
  const id = place.sessions()[0]?.id ?? "";
  await using holder = await startOptaDo(["--resume", id, "long"], { place, port: lmx.port });
  while (lmx.requests.length < 2) await Bun.sleep(10);
  const second = await optaDo(["--resume", id, "me too"], { place, port: lmx.port });
  expect(second.exitCode).toBe(1);
  expect(second.stderr).toContain(`pid ${holder.process.pid}`);
  holder.process.kill("SIGKILL");
  await holder.process.exited;
  const third = await optaDo(["--resume", id, "now"], { place, port: lmx.port });
  expect(third.stdout).toBe("free\n");
  const prompts = place.sessions()[0]?.messages.filter((message) => message.role === "user");
  expect(prompts).toHaveLength(3); // the killed turn's prompt is there as well
});

test("a file of the original client is resumed, and its unknown fields survive", async () => {
  using place = createPlace();
  const theirs = {
    id: "theirs123456",
    created: "2026-01-01T00:00:00.000Z",
    updated: "2026-01-01T00:00:00.000Z",
    model: "",
    cwd: place.workspace,
    title: "an old chat",
    messages: [
      { role: "user", content: [{ type: "text", text: "hello" }], mood: "sunny" },
      { role: "assistant", content: "hi" },
    ],
    toolCallCount: 0,
    compacted: false,
    colour: "blue",
  };
  plant(place, "theirs123456.json", JSON.stringify(theirs));
  plant(place, "index.json", '{"entries":{}}');
  await using lmx = await startScripted({ turns: [{ text: "more" }] });
  const run = await optaDo(["--resume", "theirs123456", "go on"], { place, port: lmx.port });
  expect(run.stderr).toBe("");
  expect(run.stdout).toBe("more\n");
  const [session] = place.sessions().filter((each) => each.id === "theirs123456");
  expect(session?.["colour"]).toBe("blue");
  // It had no system prompt; the model needs one all the same.
  expect(lmx.chats()[0]?.messages.map((message) => message.role)).toEqual([
    "system",
    "user",
    "assistant",
    "user",
  ]);
  expect(session?.messages[1]).toEqual(theirs.messages[0] as never);
  expect(session?.messages).toHaveLength(5);
});

test("kill -9 while a command runs leaves its call on record, and no seq is used twice", async () => {
  using place = createPlace();
  const call = { name: "run_command", arguments: { command: "touch ran; sleep 30" } };
  await using lmx = await startScripted({ turns: [{ toolCalls: [call] }, { text: "after" }] });
  const seen: number[] = [];
  {
    await using started = await startOptaDo(["--dangerous", "-f", "json", "go"], {
      place,
      port: lmx.port,
    });
    while (!existsSync(join(place.workspace, "ran"))) await Bun.sleep(10);
    started.process.kill("SIGKILL");
    const lines = (await new Response(started.process.stdout).text()).trimEnd().split("\n");
    seen.push(...lines.map((line) => JSON.parse(line).seq));
  }
  expect(JSON.stringify(place.sessions()[0]?.messages)).toContain("touch ran; sleep 30");
  const next = await optaDo(["-f", "json", "--continue", "and now?"], { place, port: lmx.port });
  expect(next.exitCode).toBe(0);
  expect(eventsOf(next)[0]?.seq).toBeGreaterThan(Math.max(...seen));
  // The call that never ended has a result that says so.
  expect(lmx.chatTexts()[1]).toContain("this call did not finish");
});

test("a corrupt file is set aside and named, never overwritten", async () => {
  using place = createPlace();
  plant(place, "broken.json", '{"id": "broken", "messages": [');
  await using lmx = await startScripted({ turns: [] });
  const run = await optaDo(["--resume", "broken", "go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(1);
  const kept = readdirSync(directoryOf(place)).find((name) =>
    name.startsWith("broken.json.corrupt"),
  );
  expect(run.stderr).toContain(kept ?? "no file was kept");
  expect(readFileSync(join(directoryOf(place), kept ?? ""), "utf8")).toBe(
    '{"id": "broken", "messages": [',
  );
});

test("--resume of an id that is none, or leads elsewhere, is refused", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [] });
  const lost = await optaDo(["--resume", "nothere", "go"], { place, port: lmx.port });
  expect(lost.exitCode).toBe(1);
  expect(lost.stderr).toContain("nothere");
  const elsewhere = await optaDo(["--resume", "../victim", "go"], { place, port: lmx.port });
  expect(elsewhere.exitCode).toBe(2);
  expect(elsewhere.stderr).toBe(
    "opta: sessionId: a session id has 1 to 64 of A-Z a-z 0-9 _ -\n  opta sessions list\n",
  );
  expect(place.sessionEntries()).toEqual([]);
});

test("list, show, search, export and delete work on what do saved", async () => {
  using place = createPlace();
  await using lmx = await startScripted({ turns: [{ text: "the answer is 42" }, { text: "no" }] });
  await optaDo(["what is the answer?"], { place, port: lmx.port });
  await optaDo(["another thing"], { place, port: lmx.port });
  const listed = await sessions(place, "list", "--json");
  expect(listed.exitCode).toBe(0);
  const titles = JSON.stringify(JSON.parse(listed.stdout));
  expect(titles.indexOf("another thing")).toBeLessThan(titles.indexOf("what is the answer?"));
  const id = place.sessions().find((each) => each.title === "what is the answer?")?.id ?? "";
  expect((await sessions(place, "show", id)).stdout).toContain("the answer is 42");
  expect((await sessions(place, "show", id)).stdout).not.toContain("<context>");
  const found = await sessions(place, "search", "IS 42");
  expect(found.stdout).toContain(id);
  expect(found.stdout.trim().split("\n").length).toBeLessThan(5);
  const markdown = await sessions(place, "export", id, "--format", "md");
  expect(markdown.stdout).toContain("the answer is 42");
  const json = await sessions(place, "export", id, "--format", "json");
  expect(JSON.parse(json.stdout).id).toBe(id);
  expect((await sessions(place, "delete", id)).exitCode).toBe(0);
  expect(place.sessions()).toHaveLength(1);
  expect((await sessions(place, "show", id)).exitCode).toBe(1);
});
