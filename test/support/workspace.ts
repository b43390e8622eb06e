// Directories for acceptance tests: a workspace with files, a home with settings, the sessions in it.
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { SessionFile } from "../../src/protocol/session.ts";

export interface Place extends Disposable {
  readonly workspace: string;
  readonly home: string;
  /** Path relative to the workspace. */
  write(path: string, content: string): void;
  read(path: string): string;
  /** Writes the user's config.json. */
  configure(settings: object): void;
  /** Every session file, parsed, in the order of their names. */
  sessions(): SessionFile[];
  /** Names below the sessions directory. */
  sessionEntries(): string[];
}

/** Where tests put settings, relative to a place's root. */
const settingsDirectories = ["home/.config/opta", "cfg", "workspace/cfg"];

/** Those that a test left behind would outlive it. */
function killDaemons(root: string): void {
  for (const directory of settingsDirectories) {
    try {
      const state = readFileSync(join(root, directory, "daemon/state.json"), "utf8");
      const { pid } = JSON.parse(state);
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      if (words.includes("daemon\0run")) process.kill(pid, "SIGKILL");
    } catch {
      continue; // there is none
    }
  }
}

/** A fresh workspace and home, removed when disposed. */
export function createPlace(files: Readonly<Record<string, string>> = {}): Place {
  const root = realpathSync(mkdtempSync(join(tmpdir(), "opta-place-")));
  const workspace = join(root, "workspace");
  const home = join(root, "home");
  const directory = join(home, ".config/opta");
  for (const path of [workspace, home]) mkdirSync(path);
  const place: Place = {
    workspace,
    home,
    write(path, content) {
      mkdirSync(dirname(join(workspace, path)), { recursive: true });
      writeFileSync(join(workspace, path), content);
    },
    read: (path) => readFileSync(join(workspace, path), "utf8"),
    configure(settings) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      writeFileSync(join(directory, "config.json"), JSON.stringify(settings), { mode: 0o600 });
    },
    sessions: () =>
      place
        .sessionEntries()
        .filter((name) => name.endsWith(".json"))
        .map((name) => JSON.parse(readFileSync(join(directory, "sessions", name), "utf8"))),
    sessionEntries: () => {
      try {
        return readdirSync(join(directory, "sessions")).toSorted();
      } catch {
        return [];
      }
    },
    [Symbol.dispose]() {
      killDaemons(root);
      rmSync(root, { recursive: true, force: true });
    },
  };
  for (const [path, content] of Object.entries(files)) place.write(path, content);
  return place;
}
