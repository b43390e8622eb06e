// A WebSocket client that shares nothing with us: the `ws` package under Node, driven by JSON lines (ws-client.ts).
//   node ws-client.mjs '{"url":"ws://…","headers":{…},"autoPong":true}'
// Says {opened}, {refused: status}, {frame: text}, {ping}, {pong}, {closed: code, reason}; each with `atMs`, since the
// epoch. Obeys {send: text}, {ping}, {pause}, {resume}, {close: code}, {terminate}.
import { createInterface } from "node:readline";
import { WebSocket } from "ws";

const { url, headers, autoPong = true } = JSON.parse(process.argv[2]);
const socket = new WebSocket(url, { headers, autoPong, perMessageDeflate: false });

function say(what) {
  const atMs = performance.timeOrigin + performance.now();
  process.stdout.write(`${JSON.stringify({ ...what, atMs })}\n`);
}

socket.on("open", () => say({ opened: true }));
socket.on("unexpected-response", (_request, response) => say({ refused: response.statusCode }));
socket.on("error", (error) => say({ failed: error.message }));
socket.on("message", (data) => say({ frame: data.toString() }));
socket.on("ping", () => say({ ping: true }));
socket.on("pong", () => say({ pong: true }));
socket.on("close", (code, reason) => say({ closed: code, reason: reason.toString() }));

createInterface({ input: process.stdin }).on("line", (line) => {
  const order = JSON.parse(line);
  if ("send" in order) socket.send(order.send);
  if ("ping" in order) socket.ping();
  if ("pause" in order) socket.pause();
  if ("resume" in order) socket.resume();
  if ("close" in order) socket.close(order.close);
  if ("terminate" in order) socket.terminate();
});
