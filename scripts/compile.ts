// Bun.build with the flags every executable of ours gets (opta, and the hello world it is measured against), and the
// proof that nothing is left for run time to resolve. Knows nothing of opta's entry points.
import type { BunPlugin } from "bun";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { isBuiltin } from "node:module";
import { basename, dirname, join } from "node:path";

export const targets = ["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"] as const;
export type Target = (typeof targets)[number];

export interface CompileOptions {
  /** The first one starts; the others are workers. */
  readonly entrypoints: readonly string[];
  readonly target: Target;
  readonly outfile: string;
  readonly define?: Readonly<Record<string, string>>;
  readonly plugins?: readonly BunPlugin[];
  /** Costs 18 MB and most of the build time, saves half of module loading. */
  readonly bytecode: boolean;
  /** Where the source maps go; without it they are dropped. */
  readonly mapsDirectory?: string;
  /** What is done to the finished executable before it gets its name, such as signing it in place. */
  readonly finish?: (path: string) => Promise<void>;
}

/**
 * Builds one executable; the old one is replaced by rename, so that a running copy stays whole.
 * @returns every file that went in, relative to the working directory
 * @throws Error naming each problem: a failed build, or an import that would be resolved at run time
 */
export async function compile(options: CompileOptions): Promise<readonly string[]> {
  const { outfile, target } = options;
  mkdirSync(dirname(outfile), { recursive: true });
  // The executable's name is part of its bytes: builds happen under the final name, in a directory beside it.
  const staging = mkdtempSync(join(dirname(outfile), ".build-"));
  try {
    const staged = join(staging, basename(outfile));
    const result = await Bun.build({
      entrypoints: [...options.entrypoints],
      target: "bun",
      format: "esm",
      minify: true,
      splitting: true,
      bytecode: options.bytecode,
      sourcemap: "external",
      metafile: true,
      throw: false,
      // Anything else than NODE_ENV=production ships the development builds of our packages.
      define: { "process.env.NODE_ENV": '"production"', ...options.define },
      plugins: [...(options.plugins ?? [])],
      compile: {
        target: `bun-${target}`,
        outfile: staged,
        // Code that runs once is not worth compiling: 29 % less CPU for a short `opta do`, 5 MB less memory, and
        // still less for 5,000 streamed chunks. Long-lived processes call Bun.unsafe.setJITPolicy(1) once they serve.
        jitPolicy: 8,
        // Without these a repository's bunfig.toml runs code, and its .env is read, before our first line.
        autoloadDotenv: false,
        autoloadBunfig: false,
        autoloadTsconfig: false,
        autoloadPackageJson: false,
        // Refuses eval and new Function, and with them BUN_OPTIONS=--preload and BUN_INSPECT.
        execArgv: ["--disallow-code-generation-from-strings=strict"],
      },
    });
    if (!result.success) throw new Error(result.logs.map(String).join("\n"));
    const { metafile } = result;
    if (metafile === undefined) throw new Error("the build gave no metafile to check");
    const unresolved = findRuntimeImports(metafile);
    if (unresolved.length > 0) {
      throw new Error(`imports left for run time to resolve:\n  ${unresolved.join("\n  ")}`);
    }
    await options.finish?.(staged);
    moveMaps(staging, options.mapsDirectory);
    chmodSync(staged, 0o755);
    renameSync(staged, outfile);
    return Object.keys(metafile.inputs);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

/** The target that runs on this machine. @throws Error on any other platform. */
export function hostTarget(): Target {
  const host = `${process.platform}-${process.arch}`;
  const target = targets.find((candidate) => candidate === host);
  if (target === undefined) throw new Error(`no build for ${host}; targets: ${targets.join(", ")}`);
  return target;
}

/**
 * Imports that are neither bundled nor built into Bun. At run time they resolve from the current directory's
 * node_modules, so a repository could plant code there.
 */
export function findRuntimeImports(metafile: Bun.BuildMetafile): readonly string[] {
  const outputs = new Set(Object.keys(metafile.outputs));
  return Object.entries(metafile.inputs).flatMap(([file, input]) =>
    input.imports
      .filter((found) => "external" in found && found.external === true)
      .filter(({ path }) => !outputs.has(path) && !isRuntimeModule(path))
      .filter(({ path }) => !isUnusedReexport(file, path))
      .map(({ path }) => `${file}: ${path}`),
  );
}

/**
 * A re-export that nobody uses, of a package that declares itself free of side effects: Bun lists it as external
 * and leaves it out of the bundle.
 */
function isUnusedReexport(file: string, path: string): boolean {
  return path.startsWith("./") && existsSync(join(dirname(file), path));
}

/** Bun answers some npm names with shims of its own (ws, undici); those it does not tell apart, so only these pass. */
function isRuntimeModule(path: string): boolean {
  return path === "bun" || path.startsWith("bun:") || (isBuiltin(path) && !runtimeShims.has(path));
}

const runtimeShims = new Set(["ws", "undici", "node-fetch", "isomorphic-fetch", "vercel/fetch"]);

function moveMaps(staging: string, mapsDirectory: string | undefined): void {
  if (mapsDirectory === undefined) return;
  rmSync(mapsDirectory, { recursive: true, force: true });
  mkdirSync(mapsDirectory, { recursive: true });
  for (const map of new Bun.Glob("**/*.map").scanSync({ cwd: staging })) {
    const to = join(mapsDirectory, map);
    mkdirSync(dirname(to), { recursive: true });
    renameSync(join(staging, map), to);
  }
}
