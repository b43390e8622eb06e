import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRipgrepFinder } from "../../src/tools/find-ripgrep.ts";

let directory = "";
beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), "opta-ripgrep-")));
  mkdirSync(join(directory, "workspace/bin"), { recursive: true });
  mkdirSync(join(directory, "bin"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const workspace = () => join(directory, "workspace");
const program = (path: string, text = "#!/bin/sh\n") => {
  writeFileSync(join(directory, path), text, { mode: 0o755 });
  return join(directory, path);
};
const embed = (text: string) => ({
  path: program("embedded", text),
  sha256: new Bun.CryptoHasher("sha256").update(text).digest("hex"),
});
const cache = () => join(directory, "cache");
const find = (toolPath: string, embedded?: { path: string; sha256: string }) =>
  createRipgrepFinder({ toolPath, cacheDirectory: cache(), embedded }).find(workspace());

describe("finding ripgrep", () => {
  test("takes the one on PATH", async () => {
    const path = program("bin/rg");
    expect(await find(`/nowhere:${join(directory, "bin")}`, embed("x"))).toBe(path);
  });

  test("never takes one from the workspace, not through a link or a relative PATH either", async () => {
    const planted = program("workspace/bin/rg");
    symlinkSync(planted, join(directory, "bin/rg"));
    const path = `.:bin:${join(workspace(), "bin")}:${join(directory, "bin")}`;
    expect(await find(path)).toBeUndefined();
  });

  test("nor one that the workspace only names", async () => {
    const outside = program("other-program");
    symlinkSync(outside, join(workspace(), "bin/rg"));
    symlinkSync(outside, join(workspace(), "rg"));
    symlinkSync(join(workspace(), "bin"), join(directory, "linked-bin"));
    for (const path of [join(workspace(), "bin"), workspace(), join(directory, "linked-bin")])
      expect(await find(path)).toBeUndefined();
  });

  test("extracts the embedded one, private and executable", async () => {
    const path = await find("/nowhere", embed("#!/bin/sh\necho rg"));
    expect(path).toStartWith(join(cache(), "rg-"));
    expect(readFileSync(path ?? "", "utf8")).toBe("#!/bin/sh\necho rg");
    expect(statSync(path ?? "").mode & 0o777).toBe(0o700);
    expect(statSync(cache()).mode & 0o777).toBe(0o700);
    expect(readdirSync(cache())).toHaveLength(1);
  });

  test("uses the extracted one again", async () => {
    const embedded = embed("same");
    const first = await find("/nowhere", embedded);
    const { ino } = statSync(first ?? "");
    expect(await find("/nowhere", embedded)).toBe(first);
    expect(statSync(first ?? "").ino).toBe(ino);
  });

  test("replaces one that was tampered with, loosened or linked", async () => {
    const embedded = embed("right");
    const path = (await find("/nowhere", embedded)) ?? "";
    const tampering = [
      () => writeFileSync(path, "wrong"),
      () => chmodSync(path, 0o777),
      () => {
        rmSync(path);
        symlinkSync(program("evil", "right"), path);
      },
    ];
    for (const tamper of tampering) {
      tamper();
      expect(await find("/nowhere", embedded)).toBe(path);
      expect(readFileSync(path, "utf8")).toBe("right");
      expect(statSync(path).mode & 0o777).toBe(0o700);
    }
    expect(readFileSync(join(directory, "evil"), "utf8")).toBe("right");
  });

  test("several processes may extract at once", async () => {
    const embedded = embed("raced");
    const paths = await Promise.all(Array.from({ length: 8 }, () => find("/nowhere", embedded)));
    expect(new Set(paths).size).toBe(1);
    expect(readdirSync(cache())).toHaveLength(1);
  });

  test("does without when what is embedded is damaged or the cache cannot be written", async () => {
    expect(await find("/nowhere", { ...embed("x"), sha256: "0".repeat(64) })).toBeUndefined();
    writeFileSync(join(directory, "file"), "");
    const finder = createRipgrepFinder({
      toolPath: "/nowhere",
      cacheDirectory: join(directory, "file/cache"),
      embedded: embed("x"),
    });
    expect(await finder.find(workspace())).toBeUndefined();
  });
});
