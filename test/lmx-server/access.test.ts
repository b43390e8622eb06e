import { expect, test } from "bun:test";
import { postChat } from "../support/chat-request.ts";
import { startScripted } from "../support/lmx.ts";
import { openRawSocket } from "../support/raw-socket.ts";

const keys = { apiKey: "inference-key", adminKey: "admin-key" };
const scenario = { turns: [{ text: "Hi" }], loop: true };

const asBearer = { Authorization: "Bearer inference-key" };
const asApiKey = { "X-Api-Key": "inference-key" };
const asAdmin = { "X-Admin-Key": "admin-key" };
const wrong = { Authorization: "Bearer wrong", "X-Admin-Key": "wrong" };

test("inference opens with a Bearer key, X-Api-Key or the admin key, and is 401 otherwise", async () => {
  await using server = await startScripted({ ...scenario, server: keys });
  const statuses = async (headers: Record<string, string>) => [
    (await fetch(`${server.url}/v1/models`, { headers })).status,
    (await postChat(server.url, {}, { headers })).status,
  ];
  expect(await statuses(asBearer)).toEqual([200, 200]);
  expect(await statuses(asApiKey)).toEqual([200, 200]);
  expect(await statuses(asAdmin)).toEqual([200, 200]);
  expect(await statuses({})).toEqual([401, 401]);
  expect(await statuses(wrong)).toEqual([401, 401]);
  const refused = await fetch(`${server.url}/v1/models`);
  expect(await refused.json()).toEqual({
    error: {
      message: "Invalid or missing API key",
      type: "authentication_error",
      param: null,
      code: "invalid_api_key",
    },
  });
});

test("admin opens with X-Admin-Key alone and is 403 otherwise", async () => {
  await using server = await startScripted({ ...scenario, server: keys });
  const status = async (headers: Record<string, string>) =>
    (await fetch(`${server.url}/admin/models`, { headers })).status;
  expect(await status(asAdmin)).toBe(200);
  expect(await status(asBearer)).toBe(403);
  expect(await status({ Authorization: "Bearer admin-key" })).toBe(403);
  expect(await status({})).toBe(403);
});

test("the socket is refused before the upgrade", async () => {
  await using server = await startScripted({ ...scenario, server: keys });
  for (const headers of [asBearer, asApiKey, asAdmin])
    (await openRawSocket(server.webSocketUrl, headers))[Symbol.dispose]();
  await expect(openRawSocket(server.webSocketUrl)).rejects.toThrow();
  await expect(openRawSocket(server.webSocketUrl, wrong)).rejects.toThrow();
  expect(await upgradeStatus(server.url, {})).toBe(401);
  expect(await upgradeStatus(server.url, wrong)).toBe(401);
});

test("with only an admin key set, inference is open, and a wrong admin key on the upgrade is a 403", async () => {
  await using server = await startScripted({ ...scenario, server: { adminKey: "admin-key" } });
  expect((await postChat(server.url)).status).toBe(200);
  expect(await upgradeStatus(server.url, {})).toBe(101);
  expect(await upgradeStatus(server.url, { "X-Admin-Key": "wrong" })).toBe(403);
});

test("health, readiness and discovery need no key", async () => {
  await using server = await startScripted({ ...scenario, server: keys });
  for (const path of ["/healthz", "/readyz", "/v1/discovery", "/.well-known/opta-lmx"])
    expect((await fetch(server.url + path)).status).toBe(200);
});

test("without keys everything is open", async () => {
  await using server = await startScripted(scenario);
  for (const path of ["/v1/models", "/admin/models", "/admin/status"])
    expect((await fetch(server.url + path)).status).toBe(200);
});

/** The status line of a handshake, read from the bare connection, since clients hide it. */
async function upgradeStatus(url: string, headers: Record<string, string>): Promise<number> {
  const { hostname, port } = new URL(url);
  const all = {
    Host: hostname,
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const answered = Promise.withResolvers<string>();
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      open: (opened) => void opened.write(`GET /v1/chat/stream HTTP/1.1\r\n${lines.join("")}\r\n`),
      data: (_, bytes) => answered.resolve(bytes.toString()),
    },
  });
  const answer = await answered.promise;
  socket.end();
  return Number(answer.split(" ")[1]);
}
