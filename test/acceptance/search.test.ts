// Searching in the built binary on a machine without ripgrep: the embedded one, and our own search when that
// cannot be extracted. What a test from source cannot see: where worker and ripgrep lie in the executable.
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createEnvironment } from "../../src/config/environment.ts";
import { eventsOf, optaDo } from "../support/do.ts";
import { startScripted } from "../support/lmx.ts";
import { createPlace, type Place } from "../support/workspace.ts";

const turns = [
  {
    text: "Searching.",
    toolCalls: [
      { name: "search_files", arguments: { pattern: "ban(?=ana)" } },
      { name: "find_files", arguments: { pattern: "*.md" } },
    ],
  },
  { text: "Found." },
];

/** The two results, sorted: the calls run at once and either may end first. */
async function search(place: Place): Promise<readonly string[]> {
  await using lmx = await startScripted({ turns });
  const options = { env: { PATH: "/nowhere" } };
  const run = await optaDo(["-f", "json", "find it"], { place, port: lmx.port, options });
  expect(run.exitCode).toBe(0);
  return eventsOf(run)
    .flatMap((event) => (event.event === "tool.result" ? [event.payload.result] : []))
    .toSorted();
}

const files = {
  "a.txt": "apple\nbanana\n",
  "notes/b.md": "x",
  ".gitignore": "c.txt\n",
  "c.txt": "banana",
};
const expected = ["a.txt:2:banana", "notes/b.md"];

test("the embedded ripgrep is extracted once, private, and used", async () => {
  using place = createPlace(files);
  expect(await search(place)).toEqual(expected);
  // A machine with its own rg in a usual place: that one was used, and there is nothing to extract.
  if (Bun.which("rg", { PATH: createEnvironment({}).toolPath }) !== null) return;
  const cache = join(place.home, ".config/opta/cache");
  const [name] = readdirSync(cache).filter((entry) => entry.startsWith("rg-"));
  const { mode, ino } = statSync(join(cache, name ?? ""));
  expect(mode & 0o777).toBe(0o700);
  expect(statSync(cache).mode & 0o777).toBe(0o700);
  expect(await search(place)).toEqual(expected);
  expect(statSync(join(cache, name ?? "")).ino).toBe(ino);
});

test("without a cache to extract to, the search runs in a worker of the executable", async () => {
  using place = createPlace(files);
  const config = join(place.home, ".config/opta");
  mkdirSync(config, { recursive: true, mode: 0o700 });
  writeFileSync(join(config, "cache"), "in the way");
  expect(await search(place)).toEqual(expected);
  expect(existsSync(join(config, "cache/rg"))).toBe(false);
});
