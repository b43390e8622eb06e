// Programs whose arguments can be code in a language of their own, which may start any program: the commands
// in `awk 'BEGIN{system("rm y")}'` are not to be seen by reading the line as shell text. Shapes of the usual
// interpreters only; a script in a file, and what a program does by itself, remain unknown to every rule.
import { programName } from "./command-wrappers.ts";

type Words = readonly (string | undefined)[];

/** An argument of this shape is code, or is followed by code. */
const codeArguments: readonly (readonly [programs: string, shape: RegExp])[] = [
  ["python pypy", /^-[A-Za-z]*c/],
  ["perl ruby", /^-\w*[eEM]/],
  ["node nodejs bun deno", /^-[epc]|^--(eval|print)\b|^eval$/],
  ["npx bunx pnpx", /^-c|^--call\b/],
  ["php", /^-[rRBE]|^--(run|process)/],
  ["lua osascript", /^-e/],
  ["expect", /^-c/],
  ["gdb", /^--?(i?ex|eval|x|command|init)/],
  ["command builtin", /^(\.|source)$/],
  ["env", /^-\w*S|^--s/],
  [
    "git",
    /^(-c|-x|run|foreach|filter-branch)$|^--(ext|exec|upload-pack|receive-pack|config-env)|^ext::/,
  ],
];
const shapeOf = new Map(
  codeArguments.flatMap(([programs, shape]) => programs.split(" ").map((name) => [name, shape])),
);

/** They read code from their input when no file is named. */
const interpreters = new Set(
  "python pypy perl ruby node nodejs bun php lua tclsh expect osascript".split(" "),
);

/** True when the call may run commands that its words do not show. */
export function hidesCommands(words: Words): boolean {
  const name = programName(words[0] ?? "");
  if (name === "." || name === "source") return true;
  if (interpreters.has(name) && readsCode(words)) return true;
  if (/^[gmn]?awk$/.test(name)) return words.slice(1).some(mayCallFromAwk);
  if (/^g?sed$/.test(name)) return !sedScripts(words).every(isPlainSed);
  const shape = shapeOf.get(name);
  return (
    shape !== undefined && words.slice(1).some((word) => word !== undefined && shape.test(word))
  );
}

/** True when an interpreter is given no file, so that it reads its code from its input, or that input as a file. */
export function readsCode(words: Words): boolean {
  const [, first, ...others] = words;
  if (first !== undefined && others.length === 0 && /^(--version|--help|-V)$/.test(first)) {
    return false;
  }
  const inputs = words.slice(1);
  return (
    inputs.every((word) => word?.startsWith("-") === true) ||
    inputs.some((word) => /^\/(dev\/(stdin|fd\/)|proc\/[^/]+\/fd\/)/.test(word ?? ""))
  );
}

function mayCallFromAwk(word: string | undefined): boolean {
  return word !== undefined && /system|\||getline|@/.test(word);
}

/** The scripts among the words; undefined for one that is not known. */
function sedScripts(words: Words): readonly (string | undefined)[] {
  const scripts: (string | undefined)[] = [];
  let hasScript = false;
  for (let index = 1; index < words.length; index += 1) {
    const word = words[index];
    if (word !== undefined && /^-[nErsuz]*[ef]$/.test(word)) {
      hasScript = true;
      index += 1;
      if (word.endsWith("e")) scripts.push(words[index]);
    } else if (word !== undefined && /^-[nErsuz]*(i[\w.]*)?$|^--(?!exp)[a-z-]+$/.test(word)) {
      continue;
    } else if (word?.startsWith("-") === true) {
      scripts.push(undefined); // its script may be part of it
    } else if (!hasScript) {
      hasScript = true;
      scripts.push(word);
    }
  }
  return scripts;
}

const sedAddress = String.raw`(?:\d+|\$|/(?:[^/\\]|\\.)*/)`;
const sedSubstitute = String.raw`[sy]([^\w\s\\])(?:(?!\1)[^\\]|\\.)*\1(?:(?!\1)[^\\]|\\.)*\1[gpIiMm\d]*`;
const plainSedCommand = new RegExp(
  String.raw`^\s*(?:${sedAddress}(?:,(?:${sedAddress}|\+\d+))?)?\s*!?\s*(?:[pdqQ=gGhHxnND]|${sedSubstitute})?\s*$`,
  "s",
);

/** GNU sed runs commands by `e`, alone or behind `s///`: one plain command that is neither, or nothing. */
function isPlainSed(script: string | undefined): boolean {
  return script !== undefined && plainSedCommand.test(script);
}
