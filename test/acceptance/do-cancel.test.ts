// Ctrl+C at every stage: the model connection closes, every process of a running tool dies, the session stays
// consistent, exit 130.
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { completeHistory } from "../../src/engine/message-history.ts";
import { isAttachedMode, startOptaDo } from "../support/do.ts";
import { startScripted } from "../support/lmx.ts";
import { createPlace, type Place } from "../support/workspace.ts";

async function until(condition: () => boolean, what: string): Promise<void> {
  const giveUpAt = Date.now() + 15_000;
  while (!condition()) {
    if (Date.now() > giveUpAt) throw new Error(`waited in vain for ${what}`);
    await Bun.sleep(20);
  }
}

/** Live processes whose command line contains `text`. */
function processesWith(text: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(text);
    } catch {
      return false;
    }
  });
}

function expectConsistent(place: Place): void {
  const [session] = place.sessions();
  expect(completeHistory(session?.messages ?? [])).toEqual(session?.messages ?? []);
  expect(session?.messages.map((message) => message.role)).toContain("user");
  expect(place.sessionEntries().filter((name) => name.endsWith(".json"))).toHaveLength(1);
}

for (const webSocket of [true, false]) {
  test(`${webSocket ? "WebSocket" : "SSE"}: Ctrl+C in the middle of an answer closes the connection and keeps what came`, async () => {
    using place = createPlace();
    await using lmx = await startScripted({
      turns: [{ repeat: { text: "word ", times: 100_000 }, delays: { betweenChunksMs: 5 } }],
      server: { webSocket },
    });
    await using started = await startOptaDo(["go"], { place, port: lmx.port });
    await started.process.stdout.getReader().read();
    started.process.kill("SIGINT");
    expect(await started.process.exited).toBe(130);
    await until(() => lmx.requests[0]?.outcome !== "pending", "the server to see the end");
    expect(["gone", "cancelled"]).toContain(lmx.requests[0]?.outcome ?? "");
    expectConsistent(place);
    expect(String(place.sessions()[0]?.messages.at(-1)?.content)).toMatch(/^(word )+$/);
  });
}

test("Ctrl+C while the model reads the prompt ends at once", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [{ text: "x", delays: { firstTokenMs: 60_000 } }],
  });
  await using started = await startOptaDo(["go"], { place, port: lmx.port });
  await until(() => lmx.requests.length === 1, "the request");
  started.process.kill("SIGINT");
  expect(await started.process.exited).toBe(130);
  expectConsistent(place);
  const [session] = place.sessions();
  expect(await started.process.stderr.text()).toBe(
    `opta: Turn cancelled\n  opta do --resume ${session?.id}\n`,
  );
});

test("Ctrl+C while a command runs kills all of its processes, those that hide included", async () => {
  using place = createPlace();
  const seconds = `86${Math.floor(Math.random() * 1e6)}`; // recognisable among all processes
  const command = [
    `sleep ${seconds} &`,
    `setsid sleep ${seconds} &`,
    `nohup sleep ${seconds} >/dev/null 2>&1 &`,
    `(setsid bash -c 'sleep ${seconds} & sleep ${seconds}' &)`,
    `trap '' TERM; touch started; sleep ${seconds}`,
  ].join("\n");
  await using lmx = await startScripted({
    turns: [{ toolCalls: [{ name: "run_command", arguments: { command } }] }, { text: "no" }],
  });
  await using started = await startOptaDo(["--dangerous", "go"], { place, port: lmx.port });
  await until(() => processesWith(seconds).length >= 6, "the processes");
  started.process.kill("SIGINT");
  expect(await started.process.exited).toBe(130);
  // A daemon goes on ending them when the command is over; here they are the command's own to end.
  if (isAttachedMode) await until(() => processesWith(seconds).length === 0, "their end");
  expect(processesWith(seconds)).toEqual([]);
  expect(lmx.requests).toHaveLength(1);
  expectConsistent(place);
});

test("a session that was cancelled is continued by the next turn", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [{ text: "x", delays: { firstTokenMs: 60_000 } }, { text: "better" }],
  });
  {
    await using started = await startOptaDo(["first task"], { place, port: lmx.port });
    await until(() => lmx.requests.length === 1, "the request");
    started.process.kill("SIGTERM");
    expect(await started.process.exited).toBe(130);
  }
  await using next = await startOptaDo(["--continue", "again"], { place, port: lmx.port });
  expect(await new Response(next.process.stdout).text()).toBe("better\n");
  const prompts = lmx.chats()[1]?.messages.filter((message) => message.role === "user");
  expect(String(prompts?.[0]?.content)).toStartWith("first task");
});

test("a reader of stdout that goes away cancels the turn", async () => {
  using place = createPlace();
  await using lmx = await startScripted({
    turns: [{ repeat: { text: "word ", times: 100_000 }, delays: { betweenChunksMs: 2 } }],
  });
  await using started = await startOptaDo(["go"], {
    place,
    port: lmx.port,
    options: { prefix: ["bash", "-c", '"$@" | head -c 10; exit ${PIPESTATUS[0]}', "bash"] },
  });
  expect(await started.process.exited).toBe(130);
  await until(() => lmx.requests[0]?.outcome !== "pending", "the server to see the end");
});
