// `bun run build [--target linux-x64|linux-arm64|darwin-x64|darwin-arm64] [--dev]`: one executable from src/main.ts.
// The host's is dist/opta, any other dist/opta-<target>; source maps go to dist/maps. Mac executables are signed ad hoc
// and checked before they get their name.
import { existsSync, readFileSync, statSync, utimesSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { signAdHoc } from "./codesign.ts";
import { verifySignature } from "./codesign-verify.ts";
import { compile, hostTarget, targets, type Target } from "./compile.ts";
import { embedRipgrep } from "./embed-ripgrep.ts";

const root = join(import.meta.dir, "..");
const identifier = "app.opta.cli";

if (import.meta.main) {
  try {
    const { target, dev } = parseFlags(Bun.argv.slice(2));
    const startedMs = performance.now();
    const outfile = await buildOpta({ target, dev });
    const megabytes = (statSync(outfile).size / 1e6).toFixed(1);
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    console.log(`${relative(process.cwd(), outfile)}  ${megabytes} MB  ${seconds} s`);
  } catch (thrown) {
    console.error(`build: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    process.exit(1);
  }
}

export interface BuildOptions {
  readonly target: Target;
  /** Without bytecode: faster to build, slower to start. */
  readonly dev: boolean;
}

/** Builds opta for one target. @returns the executable's path @throws Error saying what is wrong with the build */
export async function buildOpta({ target, dev }: BuildOptions): Promise<string> {
  const startedAt = new Date();
  const name = target === hostTarget() ? "opta" : `opta-${target}`;
  const outfile = join(root, "dist", name);
  const inputs = await compile({
    entrypoints: ["src/main.ts", "src/tools/search-worker.ts"]
      .map((path) => join(root, path))
      .filter((path) => existsSync(path)),
    target,
    outfile,
    define: { OPTA_VERSION: JSON.stringify(packageVersion()) },
    plugins: [await embedRipgrep(target)],
    bytecode: !dev,
    mapsDirectory: join(root, "dist/maps", name),
    ...(target.startsWith("darwin-") ? { finish: signAndVerify } : {}),
  });
  if (!inputs.some((path) => path.endsWith(`ripgrep-${target}/bin/rg`))) {
    throw new Error("ripgrep is not in the executable");
  }
  // A source edited while we built is newer than this: the executable is stale then, and its date must say so.
  utimesSync(outfile, startedAt, startedAt);
  return outfile;
}

/**
 * Ad hoc, without hardened runtime and therefore without entitlements (JIT needs com.apple.security.cs.allow-jit only
 * under hardened runtime, which comes with Developer ID and notarisation, on a Mac).
 */
async function signAndVerify(path: string): Promise<void> {
  const signed = signAdHoc(await Bun.file(path).bytes(), identifier);
  const problems = verifySignature(signed, identifier);
  if (problems.length > 0) throw new Error(`bad signature on ${path}:\n  ${problems.join("\n  ")}`);
  await Bun.write(path, signed);
}

function packageVersion(): string {
  const manifest: { version: string } = JSON.parse(
    readFileSync(join(root, "package.json"), "utf8"),
  );
  return manifest.version;
}

function parseFlags(argv: readonly string[]): BuildOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: { target: { type: "string" }, dev: { type: "boolean", default: false } },
  });
  const target = values.target ?? hostTarget();
  const known = targets.find((candidate) => candidate === target);
  if (known === undefined) throw new Error(`no target ${target}; targets: ${targets.join(", ")}`);
  return { target: known, dev: values.dev };
}
