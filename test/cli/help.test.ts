import { describe, expect, test } from "bun:test";
import { isGroup } from "../../src/cli/command.ts";
import { commandPage } from "../../src/cli/help.ts";
import { commandTable } from "../../src/cli/table.ts";
import { runWords } from "../support/command-line.ts";

test("opta help lists every command with its summary", async () => {
  expect((await runWords(["help"])).stdout).toBe(`opta - a coding agent for models you run yourself

Usage: opta <command> [flags] [arguments]

Commands:
  do           work on a task in this directory, then exit
  demo         watch opta repair a small project; a script plays the model
  status       show the model server that opta would use
  doctor       check settings, disk, model server and programs
  models       list, load, unload, choose and name models
  context      show what fills the model's context window
  sessions     list, show, search, export and delete saved sessions
  daemon       serve many clients from one process: start, stop, status, logs, events
  config       read and change settings
  permissions  explain what opta may do without asking
  completions  print shell completions for bash, zsh or fish
  version      print the version
  help         explain a command, or the exit codes

opta help <command> explains one; opta help exit-codes lists the exit codes.
`);
});

test("a group's page lists its commands", async () => {
  expect((await runWords(["help", "models"])).stdout)
    .toBe(`opta models - list, load, unload, choose and name models

Usage: opta models [command] [flags]

Commands:
  list                         list the models in memory and on disk (when none is named)
  load <model>                 load a model into memory and wait until it answers
  unload <model>               take a model out of memory
  use <model>                  make a model the default: sets model.default
  alias [name] [model]         give a model a short name of your own
  settings [model] [setting…]  show or change what opta takes for true of a model

Examples:
  opta models
  opta models load mlx-community/Qwen3-8B-4bit
  opta models use qwen3-8b-4bit
`);
});

test("a command's page has usage, arguments, flags with their defaults, and examples", async () => {
  expect((await runWords(["permissions", "explain", "--help"])).stdout)
    .toBe(`opta permissions explain - say what would be decided about a tool call, and why

Usage: opta permissions explain [flags] <subject>

Arguments:
  subject  the command (quoted), the path, the URL or the query of the call

Flags:
      --tool NAME  the tool, for example run_command (default: run_command)
      --mode safe|auto|plan|review|dangerous
                   judge as in this mode instead of the configured one
      --json       print {decision, rule, reason} as JSON
  -h, --help       show this page

Examples:
  opta permissions explain --tool run_command 'git status'
  opta permissions explain --tool edit_file src/main.ts --mode auto
  opta permissions explain --tool web_fetch https://example.com --json
`);
});

test("the exit codes are printed from the one table", async () => {
  expect((await runWords(["help", "exit-codes"])).stdout).toBe(`Exit codes of opta:
    0  done
    1  error
    2  wrong usage or configuration
    3  no model server reachable, no model loaded, or another daemon holds the place
    4  the model server refused the key
    5  the model server failed
    6  something was denied by policy
    7  step, time or context limit reached
  130  interrupted
`);
});

describe("every way to ask gives the same page, on stdout, with exit code 0", () => {
  const ways: readonly (readonly (readonly string[])[])[] = [
    [["help"], ["--help"], ["-h"]],
    [
      ["help", "status"],
      ["status", "--help"],
      ["status", "-h"],
      ["--help", "status"],
    ],
    [
      ["help", "models"],
      ["models", "--help"],
      ["models", "-h"],
    ],
    [
      ["help", "models", "load"],
      ["models", "load", "--help"],
      ["models", "load", "x", "-h"],
    ],
  ];
  for (const same of ways) {
    test(same.map((words) => `opta ${words.join(" ")}`).join(" = "), async () => {
      const results = await Promise.all(same.map((words) => runWords(words)));
      expect(results[0]).toMatchObject({ exitCode: 0, stderr: "" });
      for (const result of results) expect(result).toEqual(results[0]!);
    });
  }
});

test("an unknown topic is refused with the nearest one", async () => {
  expect(await runWords(["help", "modles"])).toMatchObject({
    exitCode: 2,
    stderr: 'opta: there is no help page "modles"\n  opta help models\n',
  });
  expect((await runWords(["help", "models", "lod"])).stderr).toEndWith("  opta help models load\n");
});

describe("every command", () => {
  for (const [name, row] of Object.entries(commandTable)) {
    test(`${name}: named and summed up as the table says, with examples of itself, in calm lines`, async () => {
      const command = await row.load();
      expect({ name: command.name, summary: command.summary }).toEqual({
        name,
        summary: row.summary,
      });
      const all = isGroup(command) ? [command, ...command.subcommands] : [command];
      for (const each of all) {
        expect(each.examples.length).toBeGreaterThan(0);
        for (const example of each.examples) expect(example).toContain(`opta ${name}`);
        expect(each.summary).toMatch(/^[a-z].*[^.]$/);
        const page = commandPage(each === command ? name : `${name} ${each.name}`, each);
        const widest = Math.max(...page.split("\n").map((line) => line.length));
        expect(widest).toBeLessThanOrEqual(100);
      }
    });
  }
});
