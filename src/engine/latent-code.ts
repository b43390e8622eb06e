// Text that bash may come to run although no command of the line contains it: `x='a[$(rm y)]'` is harmless until
// `$((x))`, `[[ x -eq 0 ]]`, `test -v "$x"` or a trace prompt evaluates it. It takes two things, a quoted
// substitution somewhere in the line and something that evaluates the content of variables; each alone is common.
import type { SyntaxNode, Word } from "unbash";

/** Builtins that evaluate an array subscript in the name of a variable; `let` is a wrapper already. */
const subscriptBuiltins = new Set(
  "test [ printf read unset declare typeset local readonly export getopts mapfile readarray wait".split(
    " ",
  ),
);
/** Bash expands their value before it prints a prompt, starts, or runs the next command. */
const evaluatedVariables = /^(PS[0-4]|PROMPT_COMMAND|BASH_ENV|ENV)$/;
const substitution = /\$\(|`|\$\{[\s|]/;

/** True for a word, here-document or part of one with a substitution in it that the quotes keep from running. */
export function quotesSubstitution(node: SyntaxNode): boolean {
  switch (node.type) {
    case "Word":
      return node.parts === undefined && substitution.test(node.value);
    case "HereDocBody":
      return node.parts === undefined && substitution.test(node.text);
    case "Literal":
    case "SingleQuoted":
    case "AnsiCQuoted":
      return substitution.test(node.value);
    default:
      return false;
  }
}

/** True for what makes bash evaluate text that it took from a variable or an argument. */
export function evaluatesText(node: SyntaxNode): boolean {
  switch (node.type) {
    case "ArithmeticExpansion":
    case "ArithmeticCommand":
    case "ArithmeticFor":
    case "TestCommand":
      return true;
    case "ParameterExpansion":
      return (
        node.index !== undefined ||
        node.prefix === "!" ||
        node.operation?.type === "Slice" ||
        node.operation?.type === "Transform"
      );
    case "Assignment":
      return node.index !== undefined || evaluatedVariables.test(node.name);
    case "Command":
      return node.name !== undefined && isSubscriptBuiltin(node.name);
    default:
      return false;
  }
}

function isSubscriptBuiltin(name: Word): boolean {
  return subscriptBuiltins.has(name.value);
}
