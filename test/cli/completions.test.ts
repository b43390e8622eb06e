import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { shells } from "../../src/cli/completion-scripts.ts";
import { commandTable } from "../../src/cli/table.ts";
import { runWords } from "../support/command-line.ts";

let directory = "";
let script = "";
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "opta-completions-"));
  script = join(directory, "opta.bash");
  writeFileSync(script, (await runWords(["completions", "bash"])).stdout);
});
afterAll(() => rmSync(directory, { recursive: true }));

/** What bash offers for the last of the words. Words are split as readline splits them: `=` stands alone. */
async function complete(...words: readonly string[]): Promise<readonly string[]> {
  const quoted = ["opta", ...words].map((word) => `'${word}'`).join(" ");
  const line = `source '${script}'; COMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _opta; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const running = Bun.spawn(["bash", "--noprofile", "--norc", "-uc", line], { stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([running.stdout.text(), running.stderr.text()]);
  expect(stderr).toBe("");
  return stdout.split("\n").filter((word) => word !== "");
}

describe("in bash", () => {
  test("the script parses", async () => {
    const checked = Bun.spawnSync(["bash", "-n", script]);
    expect(checked.stderr.toString()).toBe("");
    expect(checked.exitCode).toBe(0);
  });

  test("every command is offered first", async () => {
    expect(await complete("")).toEqual(Object.keys(commandTable));
  });
  test("a command's beginning is completed", async () => {
    expect(await complete("mo")).toEqual(["models"]);
  });
  test("subcommands follow their command", async () => {
    expect(await complete("models", "")).toEqual([
      "list",
      "load",
      "unload",
      "use",
      "alias",
      "settings",
    ]);
    expect(await complete("models", "--json", "lo")).toEqual(["load"]);
  });
  test("flags are those of the command", async () => {
    expect(await complete("models", "load", "--j")).toEqual(["--json"]);
    expect(await complete("do", "fix models", "--max")).toEqual(["--max-steps"]);
    expect(await complete("version", "--max")).toEqual([]);
  });
  test("values of a closed list are offered, after a space, an = or the short form", async () => {
    expect(await complete("do", "--format", "")).toEqual(["text", "json"]);
    expect(await complete("do", "-f", "j")).toEqual(["json"]);
    expect(await complete("do", "--mode", "=", "pl")).toEqual(["plan"]);
    expect(await complete("do", "--mode", "=")).toContain("safe");
  });
  test("help knows every topic, completions every shell", async () => {
    expect(await complete("help", "ex")).toEqual(["exit-codes"]);
    expect(await complete("completions", "")).toEqual([...shells]);
  });
  test("after -- nothing is a flag", async () => {
    expect(await complete("do", "--", "--fo")).toEqual([]);
  });
});

for (const shell of shells) {
  test(`the ${shell} script names every command and every long flag of opta do`, async () => {
    const { stdout, exitCode } = await runWords(["completions", shell]);
    expect(exitCode).toBe(0);
    for (const name of Object.keys(commandTable)) expect(stdout).toContain(`${name}`);
    for (const flag of ["format", "mode", "resume", "max-steps", "dangerous"]) {
      expect(stdout).toContain(shell === "fish" ? `-l ${flag}` : `--${flag}`);
    }
  });
}

test("another shell is refused with the ones there are", async () => {
  expect(await runWords(["completions", "tcsh"])).toMatchObject({
    exitCode: 2,
    stdout: "",
    stderr: 'opta: <shell> is one of bash, zsh, fish (got "tcsh")\n  opta help completions\n',
  });
});
