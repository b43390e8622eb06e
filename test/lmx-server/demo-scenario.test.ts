// The demo played by hand: the same tools done with plain files, so that the scenario itself is proved.
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { demoFiles, demoPrompt, demoScenario } from "../../src/lmx-server/demo-scenario.ts";
import { chatRequest, postChat } from "../support/chat-request.ts";
import { startScripted } from "../support/lmx.ts";

interface Answer {
  readonly content: string | null;
  readonly tool_calls:
    | readonly { readonly id: string; readonly function: { name: string; arguments: string } }[]
    | null;
}

/** Without the pauses that make it pleasant to watch. */
const quick = {
  ...demoScenario,
  turns: demoScenario.turns.map((turn) => ({ ...turn, delays: {} })),
};

async function withProject(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "opta-demo-"));
  for (const [path, content] of Object.entries(demoFiles))
    await Bun.write(join(directory, path), content);
  await use(directory).finally(() => rm(directory, { recursive: true }));
}

async function runTool(directory: string, name: string, text: string): Promise<string> {
  const args = JSON.parse(text) as Record<string, string>;
  const path = join(directory, args["path"] ?? "");
  if (name === "read_file") return Bun.file(path).text();
  if (name === "edit_file") {
    const [oldText = "", newText = ""] = [args["old_text"], args["new_text"]];
    const content = await Bun.file(path).text();
    expect(content.split(oldText)).toHaveLength(2);
    await Bun.write(
      path,
      content.replace(oldText, () => newText),
    );
    return "edited";
  }
  expect(name).toBe("run_command");
  return runCheck(directory, args["command"] ?? "").output;
}

function runCheck(directory: string, command: string): { output: string; exitCode: number } {
  const shell = ["/bin/bash", "--noprofile", "--norc", "-c", command];
  const { stdout, exitCode } = Bun.spawnSync(shell, { cwd: directory });
  return { output: stdout.toString(), exitCode };
}

async function ask(url: string, messages: readonly unknown[]): Promise<Answer> {
  const model = demoScenario.models?.[0]?.id;
  const response = await postChat(url, { model, messages, stream: false });
  const body = (await response.json()) as { choices?: [{ message: Answer }] };
  const message = body.choices?.[0].message;
  if (!message) throw new Error(JSON.stringify(body));
  return message;
}

test("the project is broken, the four turns mend it, and its check passes", async () => {
  await withProject(async (directory) => {
    expect(runCheck(directory, "bash check.sh").exitCode).toBe(1);
    await using server = await startScripted(quick);
    const messages: unknown[] = [{ role: "user", content: demoPrompt }];
    const used: string[] = [];
    let answer = await ask(server.url, messages);
    while (answer.tool_calls) {
      messages.push({ role: "assistant", content: answer.content, tool_calls: answer.tool_calls });
      for (const { id, function: call } of answer.tool_calls) {
        used.push(call.name);
        const content = await runTool(directory, call.name, call.arguments);
        messages.push({ role: "tool", tool_call_id: id, content });
      }
      answer = await ask(server.url, messages);
    }
    expect(used).toEqual(["read_file", "read_file", "edit_file", "run_command"]);
    expect(answer.content).toContain("0 of 4 checks failed");
    expect(runCheck(directory, "bash check.sh").exitCode).toBe(0);
    expect(server.requests).toHaveLength(4);
  });
});

test("the demo does not play on when the file was not read", async () => {
  await using server = await startScripted(quick);
  const { tool_calls } = await ask(server.url, [{ role: "user", content: demoPrompt }]);
  const refused = (tool_calls ?? []).map(({ id }) => ({
    role: "tool",
    tool_call_id: id,
    content: "denied",
  }));
  const messages = [
    { role: "user", content: demoPrompt },
    { role: "assistant", content: null, tool_calls },
    ...refused,
  ];
  const response = await postChat(server.url, {
    ...chatRequest({ messages }),
    model: demoScenario.models?.[0]?.id,
  });
  expect([response.status, await response.text()]).toEqual([
    400,
    expect.stringContaining("turn 2 expects '-gt 10'"),
  ]);
});
