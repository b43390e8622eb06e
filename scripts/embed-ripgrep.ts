// Puts the target platform's ripgrep into the executable: replaces src/tools/embedded-ripgrep.ts by a module that
// imports the binary as a file and names its hash. Fails when there is none; a build never ships without it silently.
import type { BunPlugin } from "bun";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Target } from "./compile.ts";

const root = join(import.meta.dir, "..");

/** The plugin for one target. @throws Error when the platform's package cannot be had or differs from bun.lock */
export async function embedRipgrep(target: Target): Promise<BunPlugin> {
  const path = await findRipgrep(target);
  const sha256 = new Bun.CryptoHasher("sha256").update(readFileSync(path)).digest("hex");
  return {
    name: "embed-ripgrep",
    setup(build) {
      build.onLoad({ filter: /[\\/]src[\\/]tools[\\/]embedded-ripgrep\.ts$/ }, () => ({
        loader: "ts",
        contents: `import path from ${JSON.stringify(path)} with { type: "file" };
          export const embeddedRipgrep = { path, sha256: ${JSON.stringify(sha256)} };`,
      }));
    },
  };
}

/** Installed for the host with everything else; for another platform fetched once, into a cache inside node_modules. */
async function findRipgrep(target: Target): Promise<string> {
  const name = `@vscode/ripgrep-${target}`;
  const installed = join(root, "node_modules", name, "bin/rg");
  if (existsSync(installed)) return installed;
  const cache = join(root, "node_modules/.cache/opta", `ripgrep-${target}`);
  const cached = join(cache, "node_modules", name, "bin/rg");
  const locked = lockedVersion(join(root, "bun.lock"), name);
  if (
    existsSync(cached) &&
    lockedVersion(join(cache, "bun.lock"), name).integrity === locked.integrity
  ) {
    return cached;
  }
  await install(cache, { name, version: locked.version, target });
  if (lockedVersion(join(cache, "bun.lock"), name).integrity !== locked.integrity) {
    throw new Error(`${name}@${locked.version} from the registry is not the one in bun.lock`);
  }
  if (!existsSync(cached)) throw new Error(`${name} has no bin/rg`);
  return cached;
}

interface PlatformPackage {
  readonly name: string;
  readonly version: string;
  readonly target: Target;
}

async function install(directory: string, wanted: PlatformPackage): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const manifest = { private: true, dependencies: { [wanted.name]: wanted.version } };
  writeFileSync(join(directory, "package.json"), JSON.stringify(manifest));
  const [os, cpu] = wanted.target.split("-");
  const command = [process.execPath, "install", `--os=${os}`, `--cpu=${cpu}`, "--ignore-scripts"];
  const child = Bun.spawn(command, { cwd: directory, stdout: "pipe", stderr: "pipe" });
  const output = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0) {
    throw new Error(`could not fetch ${wanted.name}@${wanted.version}:\n${output.join("")}`);
  }
}

/** One line of bun.lock: `"name": ["name@version", "", {...}, "sha512-..."]`. */
function lockedVersion(lockfile: string, name: string) {
  const text = readFileSync(lockfile, "utf8");
  const line = text.split("\n").find((candidate) => candidate.trim().startsWith(`"${name}": [`));
  const version = line?.match(/\["(?:.*)@([^"@]+)"/)?.[1];
  const integrity = line?.match(/"(sha512-[^"]+)"/)?.[1];
  if (version === undefined || integrity === undefined)
    throw new Error(`${name} is not in ${lockfile}`);
  return { version, integrity };
}
