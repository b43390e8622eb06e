// What starting any process costs here and now: a compiled hello world, from spawning it to its end.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compile, hostTarget } from "../compile.ts";

export interface Hello extends Disposable {
  /** Wall time of one run, in milliseconds. */
  time(): Promise<number>;
}

export async function compileHello(): Promise<Hello> {
  const directory = mkdtempSync(join(tmpdir(), "opta-hello-"));
  const source = join(directory, "hello.ts");
  const outfile = join(directory, "hello");
  writeFileSync(source, `console.log("hello");\n`);
  await compile({ entrypoints: [source], target: hostTarget(), outfile, bytecode: true });
  return {
    async time() {
      const startedMs = performance.now();
      await Bun.spawn([outfile], { stdin: "ignore", stdout: "ignore" }).exited;
      return performance.now() - startedMs;
    },
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}
