// The settings as they are now: config.json is looked at (one stat) whenever somebody asks, and read again when it
// changed. A file that became invalid changes nothing; the log says what is wrong with it.
import { statSync } from "node:fs";
import type { Config } from "../config/schema.ts";
import type { LoadedConfig } from "../config/load.ts";
import { toOptaError } from "../protocol/error.ts";
import type { LogFile } from "./log-file.ts";

export interface LiveSettings {
  /** The same object while nothing changed. */
  config(): Config;
  /** The file that they were read from; undefined when there was none. */
  text(): string | undefined;
  /** Reads the file again when it changed. To be called before anything is decided by it. */
  refresh(): Promise<void>;
}

export function createLiveSettings(options: {
  readonly loaded: LoadedConfig;
  readonly load: () => Promise<LoadedConfig>;
  readonly log: LogFile;
}): LiveSettings {
  let { config, text } = options.loaded;
  const { path } = options.loaded;
  let stamp = stampOf(path);
  let reading: Promise<void> = Promise.resolve();

  async function read(): Promise<void> {
    try {
      const next = await options.load();
      if (!Bun.deepEquals(next.config, config)) config = next.config;
      ({ text } = next);
      options.log.info("settings changed");
    } catch (thrown) {
      const { message } = toOptaError(thrown);
      options.log.warn("the settings cannot be read; the last good ones hold", { message });
    }
  }

  return {
    config: () => config,
    text: () => text,
    refresh() {
      const found = stampOf(path);
      if (found !== stamp) {
        stamp = found;
        reading = reading.then(read);
      }
      return reading;
    },
  };
}

/** Never throws: what cannot even be looked at is told by the one who reads it. */
function stampOf(path: string): string {
  try {
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
    return stats === undefined ? "" : `${stats.mtimeNs}-${stats.size}-${stats.ino}`;
  } catch (thrown) {
    return `cannot be looked at: ${toOptaError(thrown).message}`;
  }
}
