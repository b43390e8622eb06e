// What a turn of the crash checks does, planned from a seed. The plan travels as the user's words, so that the model
// (crash-model-driver.ts) is a function of the conversation alone and works on after any number of restarts.
import { join } from "node:path";
import type { Random } from "../../test/support/command-lines.ts";

type CallKind = "run" | "hold" | "deaf" | "leave" | "write" | "edit";

export interface PlannedCall {
  /** Digits, unique in a run: the model's call id, the text a command appends to ranFile, its mark in `ps`. */
  readonly id: string;
  /**
   * `hold`: a command that sleeps until somebody ends it; `deaf`: and that does not heed SIGTERM; `leave`: one that
   * ends, with a child outside its group that still holds its output.
   */
  readonly kind: CallKind;
  /** What the client says when it is asked; "never": nothing. */
  readonly answer: "allow" | "deny" | "never";
}

export interface PlannedStep {
  /** Chunks of text before the calls. */
  readonly tokens: number;
  readonly calls: readonly PlannedCall[];
}

export interface PlannedTurn {
  readonly steps: readonly PlannedStep[];
  /** Pause between two chunks. */
  readonly gapMs: number;
  readonly permissionMode: "safe" | "auto" | "dangerous";
}

/** Where each command appends its id: a line more than once is a tool that ran twice. */
export const ranFile = "ran.txt";

export function planTurn(random: Random, nextId: () => string): PlannedTurn {
  const steps = Array.from({ length: random.below(4) }, () => ({
    tokens: random.below(8),
    calls: Array.from({ length: 1 + random.below(2) }, () => planCall(random, nextId)),
  }));
  return {
    steps: [...steps, { tokens: 1 + random.below(20), calls: [] }],
    gapMs: random.below(3),
    permissionMode: pick(random, ["safe", "auto", "dangerous"]),
  };
}

function planCall(random: Random, nextId: () => string): PlannedCall {
  return {
    id: nextId(),
    kind: pick(random, ["run", "run", "write", "write", "edit", "edit", "hold", "deaf", "leave"]),
    answer: pick(random, ["allow", "allow", "allow", "allow", "deny", "never"]),
  };
}

export function pick<T>(random: Random, items: readonly [T, ...T[]]): T {
  return items[random.below(items.length)] ?? items[0];
}

export const callsOf = ({ steps }: PlannedTurn) => steps.flatMap(({ calls }) => calls);

/** One line: what opta adds to a user's message comes behind it. */
export const toWords = (turn: PlannedTurn): string => JSON.stringify(turn);

/** Undefined for words that are no plan: what opta itself says in the user's place. */
export function fromWords(words: string): PlannedTurn | undefined {
  const [line = ""] = words.split("\n", 1);
  return line.startsWith("{") ? (JSON.parse(line) as PlannedTurn) : undefined;
}

/** The call as the model makes it. */
export function toToolCall({ id, kind }: PlannedCall): { name: string; arguments: object } {
  switch (kind) {
    case "run":
      return { name: "run_command", arguments: { command: `echo ${id} >> ${ranFile}` } };
    case "hold": {
      // A child that left the group, one in the background, and the shell itself.
      const sleep = `sleep ${id}`;
      const command = `echo ${id} >> ${ranFile}; setsid ${sleep} & ${sleep} & ${sleep}`;
      return { name: "run_command", arguments: { command } };
    }
    case "deaf": {
      const command = `trap '' TERM; echo ${id} >> ${ranFile}; sleep ${id}`;
      return { name: "run_command", arguments: { command } };
    }
    case "leave": {
      const command = `setsid sleep ${id} & echo ${id} >> ${ranFile}`;
      return { name: "run_command", arguments: { command } };
    }
    case "write":
      return {
        name: "write_file",
        arguments: { path: fileOf(id), content: contentAfter(id) },
      };
    case "edit":
      return {
        name: "edit_file",
        arguments: { path: fileOf(id), old_text: `before ${id}`, new_text: `after ${id}` },
      };
  }
}

export interface PlannedFile {
  readonly path: string;
  /** Undefined: there is no file. */
  readonly before: string | undefined;
  readonly after: string;
}

/** What a call does to a file of its own; undefined for commands. */
export function plannedFile(workspace: string, { id, kind }: PlannedCall): PlannedFile | undefined {
  if (kind !== "write" && kind !== "edit") return undefined;
  const before = kind === "edit" ? contentAfter(id).replace("after", "before") : undefined;
  return { path: join(workspace, fileOf(id)), before, after: contentAfter(id) };
}

/** Makes the files that the turn's edits change. */
export async function prepareFiles(workspace: string, turn: PlannedTurn): Promise<void> {
  for (const call of callsOf(turn)) {
    const file = plannedFile(workspace, call);
    if (file?.before !== undefined) await Bun.write(file.path, file.before);
  }
}

const fileOf = (id: string) => `${id}.txt`;
/** More than one block of a file system, so that half a write would show. */
const contentAfter = (id: string) => `after ${id}\n${`line of ${id}\n`.repeat(400)}end\n`;
