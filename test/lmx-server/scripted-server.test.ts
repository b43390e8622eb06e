// The script that serves a scenario from a process of its own.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { chatRequest, postChat } from "../support/chat-request.ts";
import { spawnScripted } from "../support/lmx.ts";
import { openRawSocket } from "../support/raw-socket.ts";

test("the script serves its scenario and tells what it recorded", async () => {
  await using server = await spawnScripted({ turns: [{ text: "Hello" }] });
  const response = await postChat(server.url);
  expect(await response.text()).toContain('"content":"Hello"');
  const { requests } = await server.recorded();
  expect(requests.map(({ body }) => JSON.parse(body))).toEqual([chatRequest()]);
  expect(requests[0]?.outcome).toBe("done");
});

test("killed in the middle of an answer it takes the connection with it", async () => {
  await using server = await spawnScripted({
    turns: [{ repeat: { text: "on ", times: 1_000_000 }, delays: { betweenChunksMs: 1 } }],
  });
  using socket = await openRawSocket(`ws://127.0.0.1:${server.port}/v1/chat/stream`);
  socket.send(chatRequest());
  await socket.until((frames) => frames.length > 3);
  await server.kill();
  expect(await socket.closed).toBe(1006);
});

test("without a valid scenario it says why on stderr and ends with 2", async () => {
  const script = join(import.meta.dir, "../../scripts/scripted-server.ts");
  const { stderr, exitCode } = Bun.spawnSync([process.execPath, script]);
  expect([exitCode, stderr.toString()]).toEqual([
    2,
    "usage: bun scripts/scripted-server.ts SCENARIO.json [--port N]\n",
  ]);
});
