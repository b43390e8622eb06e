// What may happen without asking, on the built binary: with nobody to ask, and with somebody at a terminal.
import { expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { opta } from "../support/binary.ts";
import { eventsOf, optaDo } from "../support/do.ts";
import { startScripted, type ScriptedServer } from "../support/lmx.ts";
import { doInTerminal } from "../support/terminal.ts";
import { createPlace, type Place } from "../support/workspace.ts";

const write = { name: "write_file", arguments: { path: "new.txt", content: "x\n" } };
const touch = { name: "run_command", arguments: { command: "touch ran" } };
const asking = (...toolCalls: object[]) =>
  startScripted({ turns: [{ toolCalls: toolCalls as never }, { text: "understood" }] });
const made = (place: Place, path: string) => existsSync(join(place.workspace, path));
const toldToModel = (lmx: ScriptedServer) => String(lmx.chats()[1]?.messages.at(-1)?.content);

test("without a terminal a question is a denial at once: the model is told why, exit 6, the flag is named", async () => {
  using place = createPlace();
  await using lmx = await asking(write);
  const run = await optaDo(["go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(6);
  expect(run.stdout).toBe("understood\n");
  expect(run.stderr).toContain("--auto");
  expect(made(place, "new.txt")).toBe(false);
  expect(toldToModel(lmx)).toContain("denied");
  expect(toldToModel(lmx)).toContain("no terminal");
});

test("a denied command names the rule that would have allowed it, and that rule works", async () => {
  using place = createPlace();
  await using lmx = await asking(touch);
  const run = await optaDo(["--auto", "go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(6);
  expect(run.stderr).toStartWith("opta: denied, so not done:\n  run_command: ");
  const advice = run.stderr.match(/opta config add permissions.rules .*/)?.[0] ?? "";
  const rule = advice.match(/'(.*)'/)?.[1] ?? "";
  const add = await opta(["config", "add", "permissions.rules", rule], { home: place.home });
  expect(add.exitCode).toBe(0);
  await using again = await asking(touch);
  const allowed = await optaDo(["go"], { place, port: again.port });
  expect(allowed.exitCode).toBe(0);
  expect(made(place, "ran")).toBe(true);
});

test("--auto allows writes in the workspace and still not commands or anything outside", async () => {
  using place = createPlace();
  const outside = { name: "write_file", arguments: { path: "../outside.txt", content: "x" } };
  await using lmx = await asking(write, touch, outside);
  const run = await optaDo(["--auto", "-f", "json", "go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(6);
  expect(made(place, "new.txt")).toBe(true);
  expect(made(place, "ran")).toBe(false);
  expect(made(place, "../outside.txt")).toBe(false);
  const done = eventsOf(run).at(-2);
  expect(done?.event === "turn.done" && done.payload.stats.deniedCalls).toBe(2);
});

test("a link that leads out of the workspace does not make what is behind it part of it", async () => {
  using place = createPlace();
  const { symlinkSync, mkdirSync } = await import("node:fs");
  mkdirSync(join(place.home, "elsewhere"));
  symlinkSync(join(place.home, "elsewhere"), join(place.workspace, "link"));
  await using lmx = await asking({
    name: "write_file",
    arguments: { path: "link/x", content: "x" },
  });
  const run = await optaDo(["--auto", "go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(6);
  expect(existsSync(join(place.home, "elsewhere/x"))).toBe(false);
});

for (const mode of ["plan", "review"]) {
  test(`--mode ${mode} refuses writes and commands, whatever the rules allow`, async () => {
    using place = createPlace();
    place.configure({ permissions: { rules: [{ decision: "allow", tool: "run_command" }] } });
    await using lmx = await asking(write, touch);
    const run = await optaDo(["--mode", mode, "go"], { place, port: lmx.port });
    expect(run.exitCode).toBe(6);
    expect(run.stderr).toContain(`without --mode ${mode}`);
    expect(made(place, "new.txt") || made(place, "ran")).toBe(false);
  });
}

test("--dangerous allows what no rule denies", async () => {
  using place = createPlace();
  place.configure({ permissions: { rules: [{ decision: "deny", prefix: ["touch"] }] } });
  await using lmx = await asking(write, touch);
  const run = await optaDo(["--yolo", "go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(6);
  expect(made(place, "new.txt")).toBe(true);
  expect(made(place, "ran")).toBe(false);
});

test("files that usually hold secrets are not read without asking, nor found by a search", async () => {
  using place = createPlace({ ".env": "KEY=hunter2\n", "a.txt": "KEY=public\n" });
  await using lmx = await asking(
    { name: "read_file", arguments: { path: ".env" } },
    { name: "search_files", arguments: { pattern: "KEY", glob: "**/*" } },
  );
  const run = await optaDo(["go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(6);
  expect(lmx.chatTexts()[1]).not.toContain("hunter2");
  expect(lmx.chatTexts()[1]).toContain("KEY=public");
});

test("what a rule denies is neither searched, found nor listed", async () => {
  using place = createPlace({ "private/x.txt": "DENIED\n", "open.txt": "OPEN\n" });
  place.configure({ permissions: { rules: [{ decision: "deny", path: "private/**" }] } });
  await using lmx = await asking(
    { name: "search_files", arguments: { pattern: "." } },
    { name: "find_files", arguments: { pattern: "**/*.txt" } },
    { name: "list_dir", arguments: { recursive: true } },
  );
  const run = await optaDo(["--dangerous", "go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(0);
  expect(
    lmx
      .chats()[1]
      ?.messages.slice(-3)
      .map(({ content }) => content),
  ).toEqual(["open.txt:1:OPEN", "open.txt", "open.txt 5 bytes"]);
});

test("rules hold behind links: in the home directory and in the rule", async () => {
  using place = createPlace();
  const { mkdirSync, symlinkSync } = await import("node:fs");
  const real = join(place.home, "../real-home");
  mkdirSync(join(real, "private"), { recursive: true });
  mkdirSync(join(real, "other"));
  for (const path of ["private", "other"]) place.write(`../real-home/${path}/x`, `MARK ${path}\n`);
  const linked = join(place.home, "../linked-home");
  symlinkSync(real, linked);
  const rules = ["~/private/**", `${linked}/other/**`].map((path) => ({ decision: "deny", path }));
  place.write("../cfg/config.json", JSON.stringify({ permissions: { rules } }));
  const env = { OPTA_CONFIG_DIR: join(place.home, "../cfg") };
  const reads = ["private", "other"].map((path) => ({
    name: "read_file",
    arguments: { path: join(real, path, "x") },
  }));
  await using lmx = await asking(...reads);
  const where = { place: { ...place, home: linked }, port: lmx.port, options: { env } };
  const run = await optaDo(["--dangerous", "go"], where);
  expect(run.exitCode).toBe(6);
  expect(lmx.chatTexts()[1]).not.toContain("MARK");
});

test("settings in the workspace are neither read nor written without asking", async () => {
  using place = createPlace({ "cfg/config.json": '{"connection":{"apiKey":"hunter2"}}' });
  await using lmx = await asking(
    { name: "read_file", arguments: { path: "cfg/config.json" } },
    { name: "search_files", arguments: { pattern: "hunter2" } },
    { name: "write_file", arguments: { path: "cfg/config.json", content: "{}" } },
  );
  const env = { OPTA_CONFIG_DIR: join(place.workspace, "cfg") };
  const run = await optaDo(["--auto", "go"], { place, port: lmx.port, options: { env } });
  expect(run.exitCode).toBe(6);
  expect(lmx.chatTexts()[1]).not.toContain("apiKey");
  expect(place.read("cfg/config.json")).toContain("hunter2");
});

test("project instructions behind a link are sent only when that file may be read, and the user is told", async () => {
  const { symlinkSync } = await import("node:fs");
  for (const target of [".env", "/proc/self/environ", "private/x", "notes.md"]) {
    using place = createPlace({ ".env": "MARK", "private/x": "MARK", "notes.md": "MARK" });
    place.configure({ permissions: { rules: [{ decision: "deny", path: "private/**" }] } });
    symlinkSync(target, join(place.workspace, "AGENTS.md"));
    await using lmx = await startScripted({ turns: [{ text: "ok" }] });
    const env = { MARKER: "MARK" };
    const args = ["--mode", "plan", "-f", "json", "go"];
    const run = await optaDo(args, { place, port: lmx.port, options: { env } });
    expect(run.exitCode).toBe(0);
    const isSent = target === "notes.md";
    expect(String(lmx.chatTexts()[0]).includes("MARK")).toBe(isSent);
    const told = eventsOf(run).filter(({ event }) => event === "turn.progress");
    expect(JSON.stringify(told).includes("AGENTS.md was left out")).toBe(!isSent);
  }
});

test("ask_user without a terminal says that nobody can answer, exit 6", async () => {
  using place = createPlace();
  await using lmx = await asking({ name: "ask_user", arguments: { question: "Which one?" } });
  const run = await optaDo(["--dangerous", "go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(6);
  expect(toldToModel(lmx)).toContain("no terminal");
});

test("on a terminal an edit is shown as a diff, and y makes it", async () => {
  using place = createPlace({ "a.txt": "banana\n" });
  const edit = { path: "a.txt", old_text: "banana", new_text: "cherry" };
  await using lmx = await asking({ name: "edit_file", arguments: edit });
  await using terminal = await doInTerminal(["go"], { place, port: lmx.port });
  await terminal.waitFor("Allow?");
  expect(terminal.screen()).toContain("-banana");
  expect(terminal.screen()).toContain("+cherry");
  terminal.type("y\n");
  expect(await terminal.exitCode()).toBe(0);
  expect(place.read("a.txt")).toBe("cherry\n");
});

test("n on a terminal refuses, which is the user's choice and no failure", async () => {
  using place = createPlace();
  await using lmx = await asking(touch);
  await using terminal = await doInTerminal(["go"], { place, port: lmx.port });
  await terminal.waitFor("Allow?");
  terminal.type("n\n");
  expect(await terminal.exitCode()).toBe(0);
  expect(made(place, "ran")).toBe(false);
  expect(toldToModel(lmx)).toContain("the user said no");
});

test("a is asked once: the same command runs again without a question, another one asks", async () => {
  using place = createPlace();
  const other = { name: "run_command", arguments: { command: "touch other" } };
  await using lmx = await startScripted({
    turns: [
      { toolCalls: [touch] },
      { toolCalls: [touch] },
      { toolCalls: [other] },
      { text: "end" },
    ],
  });
  await using terminal = await doInTerminal(["go"], { place, port: lmx.port });
  await terminal.waitFor("Allow?");
  terminal.type("a\n");
  await terminal.waitFor("touch other");
  await terminal.waitFor("Allow?", 2);
  terminal.type("n\n");
  expect(await terminal.exitCode()).toBe(0);
  expect(made(place, "ran")).toBe(true);
  expect(made(place, "other")).toBe(false);
});

test("a directory that became a link while the question was open leads nowhere", async () => {
  using place = createPlace({ "dir/a.txt": "inside\n" });
  const { mkdirSync, renameSync, symlinkSync } = await import("node:fs");
  const outside = join(place.home, "outside");
  mkdirSync(outside);
  await using lmx = await asking({
    name: "write_file",
    arguments: { path: "dir/new.txt", content: "x" },
  });
  await using terminal = await doInTerminal(["go"], { place, port: lmx.port });
  await terminal.waitFor("Allow?");
  renameSync(join(place.workspace, "dir"), join(place.workspace, "moved"));
  symlinkSync(outside, join(place.workspace, "dir"));
  terminal.type("y\n");
  await terminal.exitCode();
  expect(existsSync(join(outside, "new.txt"))).toBe(false);
  expect(toldToModel(lmx)).toContain("not where it led when this was permitted");
});

test("what was typed before the question appeared does not answer it", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [{ toolCalls: [touch], delays: { firstTokenMs: 400 } }, { text: "end" }],
  });
  await using terminal = await doInTerminal(["go"], { place, port: lmx.port });
  terminal.type("y\n");
  await terminal.waitFor("Allow?");
  expect(made(place, "ran")).toBe(false);
  terminal.type("n\n");
  expect(await terminal.exitCode()).toBe(0);
  expect(made(place, "ran")).toBe(false);
});

test("Ctrl+C at a question cancels the turn: nothing runs, exit 130", async () => {
  using place = createPlace();
  await using lmx = await asking(touch);
  await using terminal = await doInTerminal(["go"], { place, port: lmx.port });
  await terminal.waitFor("Allow?");
  terminal.type("\u0003");
  expect(await terminal.exitCode()).toBe(130);
  expect(made(place, "ran")).toBe(false);
});

test("reasoning is folded on a terminal: counted, not shown, and kept apart in the session", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [{ thinking: "secret thought ".repeat(20), text: "the answer" }],
  });
  await using terminal = await doInTerminal(["go"], { place, port: lmx.port });
  expect(await terminal.exitCode()).toBe(0);
  expect(terminal.screen()).toContain("thought, 300 characters");
  expect(terminal.screen()).not.toContain("secret thought");
  const answer = place.sessions()[0]?.messages.at(-1);
  expect(answer?.content).toBe("the answer");
  expect(String(answer?.["reasoning"])).toContain("secret thought");
});

test("ask_user on a terminal brings the answer to the model", async () => {
  using place = createPlace();
  await using lmx = await asking({ name: "ask_user", arguments: { question: "Which one?" } });
  await using terminal = await doInTerminal(["go"], { place, port: lmx.port });
  await terminal.waitFor("Which one?");
  await terminal.waitFor("answer:");
  terminal.type("the second\n");
  expect(await terminal.exitCode()).toBe(0);
  expect(toldToModel(lmx)).toContain("the second");
});

test("a question shows everything that would run: line breaks, hidden characters, a long tail", async () => {
  using place = createPlace();
  const long = `echo ${"a".repeat(12_000)}; touch the-end`;
  const commands = [
    "echo safe # comment\ntouch second-line",
    "echo x\u001b[2K\u001b]0;t\u0007\u202e",
    long,
  ];
  await using lmx = await startScripted({
    turns: [
      ...commands.map((command) => ({
        toolCalls: [{ name: "run_command", arguments: { timeout: 5000, command } }],
      })),
      { text: [`\u001b`, `]0;pwned\u0007`, "answer"] },
    ],
  });
  await using terminal = await doInTerminal(["go"], { place, port: lmx.port });
  for (let asked = 1; asked <= commands.length; asked++) {
    await terminal.waitFor("Allow?", asked);
    terminal.type("n\n");
  }
  await terminal.exitCode();
  const screen = terminal.screen().replaceAll("\r\n", "\n");
  expect(screen).toContain("  echo safe # comment\n  touch second-line\n");
  expect(screen).toContain(String.raw`echo x\x1b[2K\x1b]0;t\x07\u202e`);
  expect(screen).toContain("touch the-end");
  expect(screen).toContain("answer");
  for (const raw of ["\u001b]", "\u001b[2K", "\u0007", "\u202e"]) expect(screen).not.toContain(raw);
});

test("a diff that is longer than a screen is counted, and shown whole on demand", async () => {
  using place = createPlace();
  const content = Array.from({ length: 90 }, (_, index) => `line ${index}\n`).join("");
  await using lmx = await asking({ name: "write_file", arguments: { path: "new.txt", content } });
  await using terminal = await doInTerminal(["go"], { place, port: lmx.port });
  await terminal.waitFor("Allow?");
  expect(terminal.screen()).toContain("more lines");
  expect(terminal.screen()).not.toContain("+line 89");
  terminal.type("v\n");
  await terminal.waitFor("+line 89");
  await terminal.waitFor("Allow?", 2);
  terminal.type("y\n");
  expect(await terminal.exitCode()).toBe(0);
  expect(place.read("new.txt")).toBe(content);
});

test("with stdin as a pipe the person at the terminal is asked all the same", async () => {
  using place = createPlace();
  await using lmx = await asking(touch);
  const words = ["bash", "-c", 'echo "piped words" | "$@"', "bash"];
  await using terminal = await doInTerminal(["go"], { place, port: lmx.port, prefix: words });
  await terminal.waitFor("Allow?");
  terminal.type("y\n");
  expect(await terminal.exitCode()).toBe(0);
  expect(made(place, "ran")).toBe(true);
  expect(String(lmx.chats()[0]?.messages.at(-1)?.content)).toStartWith("go\n\npiped words");
});

test("permissions explain prints the decision, the rule and the reason, and JSON with --json", async () => {
  using place = createPlace();
  place.configure({ permissions: { rules: [{ decision: "allow", prefix: ["npm", "test"] }] } });
  const explain = (...args: string[]) =>
    opta(["permissions", "explain", ...args], { cwd: place.workspace, home: place.home });
  const allowed = await explain("--tool", "run_command", "npm test -- --watch", "--json");
  expect(JSON.parse(allowed.stdout)).toMatchObject({ decision: "allow" });
  const chained = await explain("--tool", "run_command", "npm test && rm -rf /", "--json");
  expect(JSON.parse(chained.stdout)).toMatchObject({ decision: "ask" });
  const edit = await explain("--tool", "edit_file", "src/a.ts");
  expect(edit.exitCode).toBe(0);
  expect(edit.stdout).toContain("ask");
  expect(edit.stdout).toContain("mode safe");
  const multi = await explain("--tool", "multi_edit", "src/a.ts", "--mode", "plan", "--json");
  expect(Object.keys(JSON.parse(multi.stdout)).toSorted()).toEqual(["decision", "reason", "rule"]);
  expect(JSON.parse(multi.stdout)).toMatchObject({ decision: "deny" });
});

test("nobody is asked about a call that is known to fail; the model is told why", async () => {
  using place = createPlace();
  writeFileSync(join(place.workspace, "a.txt"), "one\n");
  const misses = { path: "a.txt", old_text: "zwei", new_text: "2" };
  const same = { path: "a.txt", content: "one\n" };
  const told = ["old_text was not found", "already has exactly this content", "does not exist"];
  await using lmx = await asking(
    { name: "edit_file", arguments: misses },
    { name: "write_file", arguments: same },
    { name: "delete_file", arguments: { path: "none" } },
  );
  const run = await optaDo(["-f", "json", "go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(0);
  const results = eventsOf(run).flatMap((event) =>
    event.event === "tool.result" ? [event.payload] : [],
  );
  expect(results.map(({ outcome }) => outcome)).toEqual(["invalid", "invalid", "invalid"]);
  for (const [index, { result }] of results.entries()) expect(result).toContain(told[index]!);
  expect(eventsOf(run).some((event) => event.event === "permission.request")).toBe(false);
});

test("why a call would fail is not told where reading would have to be asked for", async () => {
  using place = createPlace();
  writeFileSync(join(place.workspace, ".env"), "KEY=swordfish\n");
  writeFileSync(join(place.workspace, "../outside.txt"), "KEY=swordfish\n");
  const edit = (path: string) => ({
    name: "edit_file",
    arguments: { path, old_text: "KEY=guess", new_text: "x" },
  });
  await using lmx = await asking(edit(".env"), edit("../outside.txt"));
  const run = await optaDo(["go"], { place, port: lmx.port });
  expect(run.exitCode).toBe(6);
  expect(lmx.chatTexts().join("\n")).not.toContain("swordfish");
  expect(toldToModel(lmx)).toContain("denied");
});
