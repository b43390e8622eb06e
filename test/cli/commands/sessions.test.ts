import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OptaError } from "../../../src/protocol/error.ts";
import type { SessionFile, SessionSummary } from "../../../src/protocol/session.ts";
import { createCapturedIo, createFakeClient, runWords } from "../../support/command-line.ts";

let directory = "";
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), "opta-sessions-command-")));
});
afterEach(() => rmSync(directory, { recursive: true }));

function session(id: string, text: string): SessionFile {
  const at = "2026-01-02T03:04:05.000Z";
  return {
    id,
    title: `about ${id}`,
    messages: [{ role: "user", content: text }],
    metadata: { workspace: "/w", model: "m", createdAt: at, updatedAt: at },
    created: at,
    updated: at,
    model: "m",
    cwd: "/w",
    tags: [],
    toolCallCount: 0,
    compacted: false,
    seq: 3,
  };
}

function summaryOf({ id, title, metadata, messages }: SessionFile): SessionSummary {
  return { sessionId: id, title, ...metadata, messageCount: messages.length } as SessionSummary;
}

/** A client over the given sessions that notes what it was asked. */
function clientOf(sessions: readonly SessionFile[], corrupt: readonly string[] = []) {
  const asked: object[] = [];
  const find = (sessionId: string) => {
    const found = sessions.find(({ id }) => id === sessionId);
    if (found === undefined) {
      throw new OptaError("not-found", `there is no session ${sessionId}`, "opta sessions list");
    }
    return found;
  };
  const client = createFakeClient({
    "session.list": (params: { query?: string }) => {
      asked.push(params);
      const found = sessions.filter(({ messages }) =>
        String(messages[0]?.content).includes(params.query ?? ""),
      );
      return { sessions: found.map(summaryOf), corrupt };
    },
    "session.get": ({ sessionId }: { sessionId: string }) => find(sessionId),
    "session.delete": ({ sessionId }: { sessionId: string }) => {
      find(sessionId);
      asked.push({ delete: sessionId });
      return { deleted: true };
    },
  });
  return { client, asked };
}

describe("list", () => {
  test("shows id, time, messages, title and workspace, without naming the subcommand", async () => {
    const { client } = clientOf([session("one", "a"), session("two", "b")]);
    expect(await runWords(["sessions"], { client })).toMatchObject({
      exitCode: 0,
      stdout: `SESSION  UPDATED (UTC)     MESSAGES  TITLE      WORKSPACE
one      2026-01-02 03:04         1  about one  /w
two      2026-01-02 03:04         1  about two  /w
`,
      stderr: "",
    });
  });

  test("titles cannot control the terminal", async () => {
    const hostile = { ...session("one", "a"), title: "\u001b]0;owned\u0007x\u009b2Jy\nz" };
    const { stdout } = await runWords(["sessions"], { client: clientOf([hostile]).client });
    expect(stdout.split("\n")[1]).toBe("one      2026-01-02 03:04         1  xy z   /w");
    const json = await runWords(["sessions", "--json"], { client: clientOf([hostile]).client });
    expect(json.stdout.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
    expect(JSON.parse(json.stdout).sessions[0].title).toBe(hostile.title);
  });

  test("shows twenty and says how to see the rest; --limit decides; --json gives all", async () => {
    const many = Array.from({ length: 23 }, (_, index) => session(`s${index}`, "a"));
    const lines = async (words: string[]) => {
      const { stdout, stderr } = await runWords(words, { client: clientOf(many).client });
      return { rows: stdout.trimEnd().split("\n").length - 1, stderr };
    };
    expect(await lines(["sessions", "list"])).toEqual({
      rows: 20,
      stderr: "3 older: opta sessions list --limit 23\n",
    });
    expect((await lines(["sessions", "list", "--limit", "2"])).rows).toBe(2);
    const { stdout } = await runWords(["sessions", "--json"], { client: clientOf(many).client });
    expect(JSON.parse(stdout).sessions).toHaveLength(23);
  });

  test("--workspace asks for the directory's real path", async () => {
    symlinkSync(directory, join(directory, "link"));
    const { client, asked } = clientOf([]);
    await runWords(["sessions", "list", "--workspace", join(directory, "link")], { client });
    await runWords(["sessions", "list", "--workspace", join(directory, "gone")], { client });
    expect(asked).toEqual([{ workspace: directory }, { workspace: join(directory, "gone") }]);
  });

  test("names what cannot be read, and says when there is nothing yet", async () => {
    const { client } = clientOf([], ["/s/bad.json"]);
    expect(await runWords(["sessions"], { client })).toMatchObject({
      exitCode: 0,
      stdout: "",
      stderr:
        'no sessions yet: opta do "…" starts one\ncannot be read, left as it is: /s/bad.json\n',
    });
  });
});

describe("show", () => {
  test("prints the conversation, or with --json the file", async () => {
    const { client } = clientOf([session("one", "hello")]);
    const { stdout } = await runWords(["sessions", "show", "one"], { client });
    expect(stdout).toBe("about one\none · /w · m · 2026-01-02T03:04:05.000Z\n\nyou\n  hello\n");
    const json = await runWords(["sessions", "show", "one", "--json"], { client });
    expect(JSON.parse(json.stdout)).toEqual(session("one", "hello"));
  });

  test("an unknown session is refused with what to type", async () => {
    const { client } = clientOf([]);
    expect(await runWords(["sessions", "show", "none"], { client })).toMatchObject({
      exitCode: 1,
      stderr: "opta: there is no session none\n  opta sessions list\n",
    });
    expect((await runWords(["sessions", "show"], { client })).exitCode).toBe(2);
  });
});

describe("search", () => {
  const sessions = [session("one", "fix the login\ntest"), session("two", "something else")];

  test("prints id, title and a line of context", async () => {
    const { client, asked } = clientOf(sessions);
    const { exitCode, stdout } = await runWords(["sessions", "search", "the", "login"], { client });
    expect({ exitCode, stdout }).toEqual({
      exitCode: 0,
      stdout: "one  about one\n    user: fix the login\n",
    });
    expect(asked).toEqual([{ query: "the login" }]);
  });

  test("--json has the match beside the session", async () => {
    const { client } = clientOf(sessions);
    const { stdout } = await runWords(["sessions", "search", "login", "--json"], { client });
    expect(JSON.parse(stdout).sessions).toMatchObject([
      { sessionId: "one", match: { where: "user", line: "fix the login" } },
    ]);
  });

  test("nothing found is said on stderr and is no failure", async () => {
    const { client } = clientOf(sessions);
    expect(await runWords(["sessions", "search", "zzz"], { client })).toMatchObject({
      exitCode: 0,
      stdout: "",
      stderr: "no session contains zzz\n",
    });
  });
});

describe("export", () => {
  const { client } = clientOf([session("one", "hello")]);

  test("Markdown or JSON on stdout", async () => {
    const markdown = await runWords(["sessions", "export", "one"], { client });
    expect(markdown.stdout).toStartWith("# about one\n");
    const json = await runWords(["sessions", "export", "one", "-f", "json"], { client });
    expect(JSON.parse(json.stdout)).toEqual(session("one", "hello"));
    const other = await runWords(["sessions", "export", "one", "-f", "pdf"], { client });
    expect(other.exitCode).toBe(2);
  });

  test("-o writes a file, which is never replaced without --force", async () => {
    const path = join(directory, "out.md");
    const words = ["sessions", "export", "one", "-o", path];
    expect(await runWords(words, { client })).toMatchObject({ exitCode: 0, stdout: "" });
    expect(readFileSync(path, "utf8")).toStartWith("# about one\n");
    writeFileSync(path, "mine");
    expect(await runWords(words, { client })).toMatchObject({
      exitCode: 1,
      stderr: `opta: ${path} exists already\n  to replace it add --force\n`,
    });
    expect(readFileSync(path, "utf8")).toBe("mine");
    expect((await runWords([...words, "--force"], { client })).exitCode).toBe(0);
    expect(readFileSync(path, "utf8")).toStartWith("# about one\n");
    expect(readdirSync(directory)).toEqual(["out.md"]);
  });

  test("a place that cannot be written is one clear line", async () => {
    const path = join(directory, "missing/out.md");
    const { exitCode, stderr } = await runWords(["sessions", "export", "one", "-o", path], {
      client,
    });
    expect(exitCode).toBe(1);
    expect(stderr).toBe(`opta: cannot write ${path}: the directory does not exist\n`);
  });
});

describe("delete", () => {
  test("deletes each that is named and stops at one that cannot be", async () => {
    const { client, asked } = clientOf([session("one", "a"), session("two", "b")]);
    const io = createCapturedIo();
    const result = await runWords(["sessions", "delete", "one", "none", "two"], { client, io });
    expect(result).toMatchObject({ exitCode: 1, stdout: "deleted one\n" });
    expect(asked).toEqual([{ delete: "one" }]);
    const both = await runWords(["sessions", "delete", "one", "two", "--json"], { client });
    expect(JSON.parse(both.stdout)).toEqual({ deleted: ["one", "two"] });
  });
});
