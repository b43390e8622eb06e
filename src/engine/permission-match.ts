// Whether one rule speaks about one effect. Three answers, because a command line can hide what it runs:
// yes, no, and maybe (counts as "ask" for deny and ask rules, as "no" for allow rules). Deny and ask rules
// match generously (letter case, a program's folder, commands inside lines), allow rules to the letter.
import type { Effect, PermissionRule } from "../protocol/permission.ts";
import { analyseCommand } from "./command-analysis.ts";
import type { CommandAnalysis, CommandWords } from "./command-analysis.ts";
import { isWrapper, programName } from "./command-wrappers.ts";
import type { MatchPath } from "./path-globs.ts";

export type Match = "yes" | "no" | "maybe";

/** Fields that are absent match everything; `path`, `command`/`prefix`, `host` only their kind of effect. */
export function matchRule(
  rule: PermissionRule,
  call: { readonly tool: string; readonly effect: Effect },
  matchesPath: MatchPath,
): Match {
  if (rule.tool !== undefined && rule.tool !== call.tool) return "no";
  const { effect } = call;
  const strict = rule.decision === "allow";
  if (rule.path !== undefined) {
    if (effect.kind !== "read" && effect.kind !== "write" && effect.kind !== "delete") return "no";
    if (!matchesPath({ decision: rule.decision, path: rule.path }, effect.path)) return "no";
  }
  if (rule.host !== undefined) {
    if (effect.kind !== "network" || !matchesHost(rule.host, effect.host)) return "no";
  }
  if (rule.command === undefined && rule.prefix === undefined) return "yes";
  if (effect.kind !== "exec") return "no";
  return strict ? matchAllowed(rule, effect.command) : matchRefused(rule, effect.command);
}

/** `host` or `host:port`; a rule without a port covers every port. */
function matchesHost(rule: string, host: string): boolean {
  const plain = (text: string) => text.toLowerCase().replace(/\.(?=:\d+$|$)/, "");
  const wanted = plain(rule);
  const actual = plain(host);
  return actual === wanted || actual.replace(/:\d+$/, "") === wanted;
}

/** Allow: the very line, or one plain command that begins with the prefix. */
function matchAllowed(rule: PermissionRule, command: string): Match {
  if (rule.command !== undefined && rule.command !== command) return "no";
  if (rule.prefix === undefined) return "yes";
  const { simpleArgv } = analyseCommand(command);
  return simpleArgv !== undefined && prefixCovers(rule.prefix, simpleArgv) ? "yes" : "no";
}

function prefixCovers(prefix: readonly string[], argv: readonly string[]): boolean {
  if (!prefix.every((word, index) => argv[index] === word)) return false;
  const [program = ""] = argv;
  const wrapper = isWrapper(program);
  // BUN_BE_BUN=1 turns our own executable into an interpreter, and `opta do` starts an agent.
  const started = wrapper ? argv : [program];
  if (started.some((word) => programName(word) === "opta")) return false;
  // git runs anything too (`-c alias.x='!cmd' x`, `bisect run`, `submodule foreach`), but only by a few of its
  // subcommands: a rule has to name one.
  return prefix.length > 1 || (!wrapper && programName(program) !== "git");
}

/** Deny and ask: the line, or any command in it, wherever it hides. */
function matchRefused(rule: PermissionRule, command: string): Match {
  const analysis = analyseCommand(command);
  const answers: Match[] = [];
  if (rule.command !== undefined) {
    const wanted = analyseCommand(rule.command).simpleArgv;
    if (rule.command.trim() === command.trim()) answers.push("yes");
    else answers.push(wanted === undefined ? "no" : findCommand(wanted, analysis, { exact: true }));
  }
  if (rule.prefix !== undefined) answers.push(findCommand(rule.prefix, analysis, { exact: false }));
  return strongest(answers, ["no", "maybe", "yes"]);
}

function findCommand(
  wanted: readonly string[],
  analysis: CommandAnalysis,
  options: { readonly exact: boolean },
): Match {
  const unseen: Match = analysis.complete ? "no" : "maybe";
  const found = analysis.commands.map((words) => compareWords(wanted, words, options));
  return strongest([unseen, ...found], ["yes", "maybe", "no"]);
}

function compareWords(
  wanted: readonly string[],
  words: CommandWords,
  { exact }: { readonly exact: boolean },
): Match {
  for (const [index, word] of wanted.entries()) {
    if (index >= words.length) return "no";
    const actual = words[index];
    if (actual === undefined) return "maybe"; // may expand to any number of words
    if (index === 0 ? !isSameProgram(word, actual) : word !== actual) return "no";
  }
  if (!exact || words.length === wanted.length) return "yes";
  return words.slice(wanted.length).includes(undefined) ? "maybe" : "no";
}

/** /bin/rm and, on a volume that ignores letter case, RM are rm. */
function isSameProgram(wanted: string, actual: string): boolean {
  const name = actual.toLowerCase();
  const wantedName = wanted.toLowerCase();
  return name === wantedName || name.slice(name.lastIndexOf("/") + 1) === wantedName;
}

function strongest(answers: readonly Match[], order: readonly Match[]): Match {
  return order.find((match) => answers.includes(match)) ?? "no";
}
