// Where ripgrep is: the user's own on PATH, else the one we carry, else nowhere. Never one from the workspace:
// a repository must not choose which program runs.
import { realpathSync } from "node:fs";
import { isAbsolute } from "node:path";
import { type EmbeddedProgram, embeddedRipgrep } from "./embedded-ripgrep.ts";
import { extractProgram } from "./extract-program.ts";

export interface RipgrepPlaces {
  /** Directories with ":" between them. */
  readonly toolPath: string;
  /** For the copy of the embedded program. */
  readonly cacheDirectory: string;
  /** Replaced in tests. */
  readonly embedded?: EmbeddedProgram | undefined;
}

export interface RipgrepFinder {
  /** An absolute path; undefined when there is none that can be used from this workspace. */
  find(workspace: string): Promise<string | undefined>;
}

/** The embedded program is extracted and checked on first use, once per finder. */
export function createRipgrepFinder(places: RipgrepPlaces): RipgrepFinder {
  let extracted: Promise<string | undefined> | undefined;
  return {
    async find(workspace) {
      const installed = findInstalled(places.toolPath, workspace);
      if (installed !== undefined) return installed;
      extracted ??= extractEmbedded(places);
      return extracted;
    },
  };
}

function findInstalled(toolPath: string, workspace: string): string | undefined {
  const directories = toolPath.split(":").filter(isAbsolute);
  for (const directory of directories) {
    const program = Bun.which("rg", { PATH: directory });
    if (program === null) continue;
    // Neither the file nor its name: a link in the workspace can lead to any program.
    const places = [directory, program].map((path) => `${realpathSync(path)}/`);
    if (!places.some((place) => place.startsWith(`${workspace}/`))) return program;
  }
  return undefined;
}

async function extractEmbedded(places: RipgrepPlaces): Promise<string | undefined> {
  const program = places.embedded ?? embeddedRipgrep;
  if (program === undefined) return undefined;
  try {
    return await extractProgram(program, { name: "rg", cacheDirectory: places.cacheDirectory });
  } catch {
    // A cache that cannot be written (a full disk, a read-only home) costs speed, not the search.
    return undefined;
  }
}
