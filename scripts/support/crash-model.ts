// Starts the model server of the crash checks (crash-model-driver.ts) in a process of its own.
import { join } from "node:path";

export interface CrashModel extends AsyncDisposable {
  readonly port: number;
  /** Why it refused requests: a conversation that a crash left broken. */
  refusals(): Promise<readonly string[]>;
}

const driver = join(import.meta.dir, "crash-model-driver.ts");

export async function startCrashModel(): Promise<CrashModel> {
  const child = Bun.spawn([process.execPath, driver], { stdin: "ignore", stdout: "pipe" });
  const reader = child.stdout.getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`crash-model-driver.ts ended after '${text}'`);
    text += new TextDecoder().decode(value);
  }
  const { port } = JSON.parse(text) as { readonly port: number };
  return {
    port,
    async refusals() {
      const response = await fetch(`http://127.0.0.1:${port}/refusals`);
      const told = (await response.json()) as { readonly refusals: readonly string[] };
      return told.refusals;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}
