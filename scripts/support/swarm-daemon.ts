// A daemon of the built executable for long checks: in a home of its own, on a free port, measured from outside.
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { daemonRuntime } from "../../src/store/daemon-place.ts";

export interface DaemonHome extends Disposable {
  readonly home: string;
  readonly workspace: string;
  /** The daemon's own directory. */
  readonly directory: string;
}

export function createDaemonHome(): DaemonHome {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "opta-swarm-")));
  const home = join(root, "home");
  const workspace = join(root, "workspace");
  const config = join(home, ".config/opta");
  for (const path of [config, join(config, "daemon")]) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  }
  mkdirSync(workspace);
  return {
    home,
    workspace,
    directory: join(config, "daemon"),
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}

export interface DaemonProcess extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  readonly token: string;
  /** From its start until it said that it is ready. */
  readonly readyMs: number;
  /** The answer's JSON; POST with a body. @throws Error unless the status is a success */
  ask<T>(path: string, body?: object): Promise<T>;
  rssBytes(): number;
  /** In good order; resolves when it has gone. */
  stop(): Promise<void>;
}

export interface DaemonProcessOptions {
  readonly executable: string;
  readonly place: DaemonHome;
  /** The model server's. */
  readonly modelPort?: number;
  /** config.json */
  readonly settings?: object;
}

/** Nothing listens on the discard port. */
const noModelPort = 9;
const killAfterMs = 10_000;

/** Disposing kills it. @throws Error with what it said when it does not start */
export async function startDaemonProcess(options: DaemonProcessOptions): Promise<DaemonProcess> {
  const { executable, place, modelPort = noModelPort, settings = {} } = options;
  const config = join(place.directory, "../config.json");
  writeFileSync(config, JSON.stringify(settings), { mode: 0o600 });
  const startedMs = performance.now();
  const child = Bun.spawn([executable, "daemon", "run", "--port", String(freePort())], {
    cwd: "/",
    env: {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      HOME: place.home,
      LANG: "C.UTF-8",
      OPTA_HOST: "127.0.0.1",
      OPTA_PORT: String(modelPort),
      // As `opta daemon start` and the service managers start it.
      ...daemonRuntime,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const kill = async () => {
    child.kill("SIGKILL");
    await child.exited;
  };
  const { value } = await child.stdout.getReader().read();
  const readyMs = performance.now() - startedMs;
  if (value === undefined) {
    await kill();
    throw new Error(`the daemon did not start: ${await child.stderr.text()}`);
  }
  const state = JSON.parse(readFileSync(join(place.directory, "state.json"), "utf8"));
  const { port, token } = state as { readonly port: number; readonly token: string };
  return {
    pid: child.pid,
    port,
    token,
    readyMs,
    async ask(path, body) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        method: body === undefined ? "GET" : "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      if (!response.ok) throw new Error(`${path}: HTTP ${response.status} ${text}`);
      return JSON.parse(text);
    },
    rssBytes: () => rssBytesOf(child.pid),
    async stop() {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), killAfterMs);
      await child.exited;
      clearTimeout(timer);
    },
    [Symbol.asyncDispose]: kill,
  };
}

/** Resident memory as the system counts it. */
function rssBytesOf(pid: number): number {
  const { stdout } = Bun.spawnSync(["ps", "-o", "rss=", "-p", String(pid)]);
  return Number(stdout.toString()) * 1024;
}

/** A port of 127.0.0.1 that nothing listened on a moment ago. */
function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}
