// What prompts cost a local server, from requests captured off the built binary: how much of each could come out
// of the prefix cache in four situations, up to the byte where it must differ, and the first request in tokens.
// Part of `bun run bench`; a test holds the same figures to their limits.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { countTokens } from "gpt-tokenizer/encoding/o200k_base";
import type { ScenarioInput } from "../src/lmx-server/scenario.ts";
import { startScriptedServer } from "../src/lmx-server/scripted-server.ts";

export interface PromptReport {
  /** Situation -> percent of the bytes that should be the same and are. */
  readonly stablePercent: Readonly<Record<string, number>>;
  /** The first request of a session as its JSON, by a BPE tokenizer (o200k_base; Qwen's and Llama's are close). */
  readonly firstRequestTokens: number;
}

const turnSteps = 10;

/** Runs `executable` a few times against a scripted server of its own. */
export async function reportPrompts(executable: string): Promise<PromptReport> {
  const scratch = mkdtempSync(join(tmpdir(), "opta-prompts-"));
  const workspace = join(scratch, "workspace");
  mkdirSync(join(workspace, ".git"), { recursive: true });
  writeFileSync(join(workspace, ".git/HEAD"), "ref: refs/heads/main\n");
  writeFileSync(join(workspace, "a.txt"), "a line\n".repeat(turnSteps));
  try {
    const capture = (prompt: string, scenario = answering) =>
      captureRequests({ executable, scratch, workspace, prompt, scenario });
    const [first = ""] = await capture("explain a.txt");
    const [again = ""] = await capture("explain a.txt");
    const [other = ""] = await capture("what is in this project?");
    writeFileSync(join(workspace, "untracked.txt"), "new\n");
    const [afterFile = ""] = await capture("explain a.txt");
    const turn = await capture("explain a.txt", working);
    if (turn.length !== turnSteps) throw new Error(`the turn made ${turn.length} requests`);
    const steps = turn.slice(1).map((text, index) => {
      const before = (turn[index] ?? "").slice(0, -"]}".length);
      return stablePercent(before, text, before.length);
    });
    return {
      stablePercent: {
        "same prompt, new session": stablePercent(first, again, first.length),
        "other prompt": stablePercent(first, other, userContentStart(first)),
        "after a new untracked file": stablePercent(first, afterFile, first.length),
        "within a turn": Math.min(...steps),
      },
      firstRequestTokens: countTokens(first),
    };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const answering: ScenarioInput = { turns: [{ text: "ok" }] };
const working: ScenarioInput = {
  turns: [
    ...Array.from({ length: turnSteps - 1 }, (_, index) => ({
      text: `Step ${index}. `,
      toolCalls: [{ name: "read_file", arguments: { path: "a.txt", limit: index + 1 } }],
    })),
    { text: "done" },
  ],
};

/** The model requests of one `opta do`, byte for byte. */
async function captureRequests(options: {
  readonly executable: string;
  readonly scratch: string;
  readonly workspace: string;
  readonly prompt: string;
  readonly scenario: ScenarioInput;
}): Promise<readonly string[]> {
  await using server = startScriptedServer(options.scenario);
  const child = Bun.spawn([options.executable, "do", options.prompt], {
    cwd: options.workspace,
    env: {
      HOME: options.scratch,
      PATH: "/usr/bin:/bin",
      OPTA_CONFIG_DIR: join(options.scratch, "opta"),
      OPTA_HOST: "127.0.0.1",
      OPTA_PORT: String(server.port),
    },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const stderr = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(`opta do failed:\n${stderr}`);
  return server.requests.map(({ body }) => body);
}

/** Where the words of the prompt begin, and requests may begin to differ. */
function userContentStart(request: string): number {
  const opening = '{"role":"user","content":"';
  const index = request.indexOf(opening);
  if (index < 0) throw new Error("the request has no user message");
  return index + opening.length;
}

/** How much of the first `length` characters the two share from the start. */
function stablePercent(first: string, second: string, length: number): number {
  let shared = 0;
  while (shared < length && first[shared] === second[shared]) shared += 1;
  return (shared / length) * 100;
}
