import { afterEach, describe, expect, test } from "bun:test";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  unlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEndpointCache, type Learnt } from "../../src/providers/endpoint-cache.ts";

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});
function cachePath(): string {
  const directory = mkdtempSync(join(tmpdir(), "opta-endpoints-"));
  directories.push(directory);
  return join(directory, "cache", "endpoints.json");
}

const learnt: Learnt = {
  kind: "lmx",
  version: "1.0",
  webSocketPath: "/v1/chat/stream",
  models: [{ modelId: "org/M", state: "loaded", sizeBytes: null, contextLength: 8192 }],
};
const minuteMs = 60_000;

describe("what was learnt about a server", () => {
  test("is there for the next process, in a private file", () => {
    const path = cachePath();
    createEndpointCache(path, () => 5).remember("host:1", learnt);
    expect(createEndpointCache(path, () => 6).find("host:1")).toEqual({ ...learnt, savedAtMs: 5 });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(path, "..")).mode & 0o777).toBe(0o700);
    expect(createEndpointCache(path, () => 6).find("host:2")).toBeUndefined();
  });
  test("is believed for ten minutes; that there is no WebSocket, for five", () => {
    const path = cachePath();
    const cache = createEndpointCache(path, () => 0);
    cache.remember("a:1", learnt);
    cache.remember("b:1", { ...learnt, webSocketPath: null });
    const at = (minutes: number) => createEndpointCache(path, () => minutes * minuteMs);
    expect(at(4.9).find("b:1")).toBeDefined();
    expect(at(5).find("b:1")).toBeUndefined();
    expect(at(9.9).find("a:1")).toBeDefined();
    expect(at(10).find("a:1")).toBeUndefined();
    expect(at(-1).find("a:1")).toBeUndefined();
  });
  test("is written only when it is news, or grows old", () => {
    const path = cachePath();
    const rememberAt = (minutes: number, what: Learnt) => {
      createEndpointCache(path, () => minutes * minuteMs).remember("a:1", what);
      return statSync(path, { bigint: true }).ino;
    };
    const first = rememberAt(0, learnt);
    expect(rememberAt(4, learnt)).toBe(first);
    const second = rememberAt(5, learnt);
    expect(second).not.toBe(first);
    expect(rememberAt(6, { ...learnt, version: "2.0" })).not.toBe(second);
  });
  test("is forgotten on request", () => {
    const path = cachePath();
    createEndpointCache(path).remember("a:1", learnt);
    createEndpointCache(path).forget("a:1");
    expect(createEndpointCache(path).find("a:1")).toBeUndefined();
  });
  test("stays small: the newest sixteen servers", () => {
    const path = cachePath();
    for (let index = 0; index < 20; index += 1) {
      createEndpointCache(path, () => index).remember(`host:${index}`, learnt);
    }
    const { endpoints } = JSON.parse(readFileSync(path, "utf8"));
    expect(Object.keys(endpoints)).toHaveLength(16);
    expect(endpoints["host:19"]).toBeDefined();
    expect(readdirSync(join(path, ".."))).toEqual(["endpoints.json"]);
  });
  test.each(["", "{", "[]", '{"version":2,"endpoints":{}}', '{"version":1,"endpoints":{"a:1":5}}'])(
    "a file of %p is an empty one, and is replaced",
    (text) => {
      const path = cachePath();
      createEndpointCache(path).remember("x:1", learnt);
      writeFileSync(path, text);
      const cache = createEndpointCache(path);
      expect(cache.find("a:1")).toBeUndefined();
      cache.remember("a:1", learnt);
      expect(createEndpointCache(path).find("a:1")).toMatchObject(learnt);
    },
  );
  test("what is no ordinary file is never opened", () => {
    const path = cachePath();
    createEndpointCache(path).remember("x:1", learnt); // makes the directory
    unlinkSync(path);
    expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
    expect(createEndpointCache(path).find("x:1")).toBeUndefined(); // would hang
  });
  test("is not kept where nothing can be written, and nobody is bothered", () => {
    for (const path of ["/dev/null/cache/endpoints.json", undefined]) {
      const cache = createEndpointCache(path);
      cache.remember("a:1", learnt);
      expect(createEndpointCache(path).find("a:1")).toBeUndefined();
    }
  });
});
