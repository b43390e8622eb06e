// The built binary in a pseudo-terminal: what a person sees and types.
import { builtOpta } from "./binary.ts";
import type { Place } from "./workspace.ts";

const patienceMs = 15_000;

export interface TerminalRun extends AsyncDisposable {
  /** Everything written so far, escape sequences included. */
  screen(): string;
  /** Resolves when `text` has appeared `times` times. @throws Error with the screen when it does not */
  waitFor(text: string, times?: number): Promise<void>;
  type(text: string): void;
  exitCode(): Promise<number>;
}

interface Where {
  readonly place: Place;
  readonly port: number;
  /** Words put before the executable. */
  readonly prefix?: readonly string[];
}

/** Starts `opta do` with stdin, stdout and stderr on one terminal. */
export function doInTerminal(args: readonly string[], where: Where): Promise<TerminalRun> {
  return optaInTerminal(["do", ...args], where);
}

/** The same for any command. */
export async function optaInTerminal(args: readonly string[], where: Where): Promise<TerminalRun> {
  const { place, port } = where;
  let shown = "";
  const decoder = new TextDecoder();
  const child = Bun.spawn([...(where.prefix ?? []), await builtOpta(), ...args], {
    cwd: place.workspace,
    env: {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      HOME: place.home,
      TERM: "xterm-256color",
      NO_COLOR: "1",
      OPTA_HOST: "127.0.0.1",
      OPTA_PORT: String(port),
    },
    terminal: {
      cols: 100,
      rows: 30,
      data(_terminal, bytes) {
        shown += decoder.decode(bytes, { stream: true });
      },
    },
  });
  return {
    screen: () => shown,
    async waitFor(text, times = 1) {
      const giveUpAt = Date.now() + patienceMs;
      while (shown.split(text).length <= times) {
        if (Date.now() > giveUpAt) throw new Error(`"${text}" never appeared:\n${shown}`);
        await Bun.sleep(10);
      }
    },
    type: (text) => child.terminal?.write(text),
    exitCode: () => child.exited,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
      child.terminal?.close();
    },
  };
}
