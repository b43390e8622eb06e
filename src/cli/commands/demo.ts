// `opta demo`: the real `do` path on a small broken project, with a script in the model's place. Everything it
// makes lies in one temporary directory, its settings and session too, and is gone afterwards.
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEnvironment, type Environment } from "../../config/environment.ts";
import { demoFiles, demoPrompt, demoScenario } from "../../lmx-server/demo-scenario.ts";
import { startScriptedServer } from "../../lmx-server/scripted-server.ts";
import { defineCommand } from "../command.ts";
import { createContextParts } from "../context.ts";
import type { Io } from "../output/io.ts";
import { runTurnToEnd } from "../run-turn.ts";
import { createTextSurface } from "../turn-surface.ts";

export const command = defineCommand({
  name: "demo",
  summary: "watch opta repair a small project; a script plays the model",
  examples: ["opta demo"],
  async run({ io, environment }) {
    const root = realpathSync(mkdtempSync(join(tmpdir(), "opta-demo-")));
    await using server = startScriptedServer(demoScenario);
    try {
      const workspace = writeProject(root);
      io.stdout.write(introduction(io));
      const exitCode = await repair({
        io,
        workspace,
        environment: demoEnvironment(root, server.port, environment),
      });
      if (exitCode === 0) io.stdout.write(connecting(io));
      return exitCode;
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  },
});

function writeProject(root: string): string {
  const workspace = join(root, "project");
  mkdirSync(workspace);
  for (const [path, content] of Object.entries(demoFiles)) {
    writeFileSync(join(workspace, path), content);
  }
  return workspace;
}

/** The user's environment with settings of its own: the demo neither reads nor changes theirs. */
function demoEnvironment(root: string, port: number, environment: Environment): Environment {
  const directory = join(root, "config");
  const settings = {
    permissions: {
      mode: "auto",
      rules: [{ decision: "allow", tool: "run_command", command: "bash check.sh" }],
    },
  };
  mkdirSync(directory, { mode: 0o700 });
  writeFileSync(join(directory, "config.json"), JSON.stringify(settings), { mode: 0o600 });
  const kept = Object.entries(environment.variables).filter(([name]) => !name.startsWith("OPTA_"));
  return createEnvironment({
    ...Object.fromEntries(kept),
    OPTA_CONFIG_DIR: directory,
    OPTA_HOST: "127.0.0.1",
    OPTA_PORT: String(port),
  });
}

async function repair(options: {
  readonly io: Io;
  readonly workspace: string;
  readonly environment: Environment;
}): Promise<number> {
  const { io, workspace, environment } = options;
  const parts = createContextParts({ io, environment });
  try {
    const client = await parts.connect();
    const { sessionId } = await client.call("session.create", { metadata: { workspace } });
    const { exitCode } = await runTurnToEnd({
      client,
      io,
      surface: createTextSurface(io, { quiet: false, narrate: true }),
      afterSeq: 0,
      submit: {
        sessionId,
        clientId: "opta-demo",
        writerId: "opta-demo",
        content: demoPrompt,
        mode: "do",
      },
    });
    return exitCode;
  } finally {
    await parts.close();
  }
}

function introduction(io: Io): string {
  const { bold, dim } = io.style(1);
  return `${bold("opta demo")}: a script plays the model; everything else is real: the server on a loopback
port, the tools, the files, the permissions. The project is a temporary copy.

${dim("$")} opta do "${demoPrompt}"

`;
}

function connecting(io: Io): string {
  const { bold, dim } = io.style(1);
  return `
${bold("Now with your own model:")}
  opta config set connection.host HOST   ${dim("# where Opta LMX, or any OpenAI-compatible server, runs")}
  opta status                            ${dim("# who answers, and with which models")}
  opta do "explain this project"
`;
}
