// Every command by name, in the order of the help page. A command's module is loaded only when it runs
// (or to print its help or completions), so that each costs only what it uses.
import type { CommandTable } from "./command.ts";

export const commandTable: CommandTable = {
  do: {
    summary: "work on a task in this directory, then exit",
    load: async () => (await import("./commands/do.ts")).command,
  },
  demo: {
    summary: "watch opta repair a small project; a script plays the model",
    load: async () => (await import("./commands/demo.ts")).command,
  },
  status: {
    summary: "show the model server that opta would use",
    load: async () => (await import("./commands/status.ts")).command,
  },
  doctor: {
    summary: "check settings, disk, model server and programs",
    load: async () => (await import("./commands/doctor.ts")).command,
  },
  models: {
    summary: "list, load, unload, choose and name models",
    load: async () => (await import("./commands/models.ts")).command,
  },
  context: {
    summary: "show what fills the model's context window",
    load: async () => (await import("./commands/context.ts")).command,
  },
  sessions: {
    summary: "list, show, search, export and delete saved sessions",
    load: async () => (await import("./commands/sessions.ts")).command,
  },
  daemon: {
    summary: "serve many clients from one process: start, stop, status, logs, events",
    load: async () => (await import("./commands/daemon.ts")).command,
  },
  config: {
    summary: "read and change settings",
    load: async () => (await import("./commands/config.ts")).command,
  },
  permissions: {
    summary: "explain what opta may do without asking",
    load: async () => (await import("./commands/permissions.ts")).command,
  },
  completions: {
    summary: "print shell completions for bash, zsh or fish",
    load: async () => (await import("./commands/completions.ts")).command,
  },
  version: {
    summary: "print the version",
    load: async () => (await import("./commands/version.ts")).command,
  },
  help: {
    summary: "explain a command, or the exit codes",
    load: async () => (await import("./commands/help.ts")).command,
  },
};
