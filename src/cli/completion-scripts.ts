// Completion scripts for three shells. Each is self-contained: it finds the command path among the words
// typed so far, then offers that path's words, flags and values, without running opta. Bash stays within
// version 3.2, which macOS ships.
import type { CompletionFlag, CompletionPath } from "./completion-words.ts";

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

export function completionScript(shell: Shell, paths: readonly CompletionPath[]): string {
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](paths);
}

function bashScript(paths: readonly CompletionPath[]): string {
  return `# Completion of opta for bash. To use it: source <(opta completions bash)
_opta() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} place="" words="" flags="" word index
  COMPREPLY=()
  # Bash splits --flag=value into three words.
  if [ "$cur" = "=" ]; then cur=""; elif [ "$prev" = "=" ]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    if [ "$word" = "--" ]; then return; fi
    case "$place:$word" in
${placeCases(paths, (names, place) => `      ${names}) place=${quote(place)} ;;`)}
    esac
  done
  case "$place $prev" in
${flagsThatTake(paths, (names, flag) => {
  const reply = Array.isArray(flag.takes)
    ? `COMPREPLY=($(compgen -W ${quote(flag.takes.join(" "))} -- "$cur")); `
    : "";
  return `    ${names}) ${reply}return ;;`;
})}
  esac
  case "$place" in
${paths
  .map(({ path, words, flags }) => {
    const names = words.map((each) => each.word).join(" ");
    return `    ${quote(path)}) words=${quote(names)} flags=${quote(spellings(flags).join(" "))} ;;`;
  })
  .join("\n")}
  esac
  case "$cur" in
    -*) words=$flags ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _opta opta
`;
}

function zshScript(paths: readonly CompletionPath[]): string {
  const items = (list: readonly (readonly [string, string])[]) =>
    list.map(([word, text]) => quote(`${word.replaceAll(":", "\\:")}:${text}`)).join(" ");
  return `#compdef opta
# Completion of opta for zsh. To use it: source <(opta completions zsh)
_opta() {
  local place='' word previous=\${words[CURRENT-1]}
  local -a items flags
  for word in "\${(@)words[2,CURRENT-1]}"; do
    if [[ $word == -- ]]; then _files; return; fi
    case "$place:$word" in
${placeCases(paths, (names, place) => `      ${names}) place=${quote(place)} ;;`)}
    esac
  done
  case "$place $previous" in
${flagsThatTake(paths, (names, flag) => {
  const offers = { nothing: "", value: "", file: "_files; ", directory: "_files -/; " };
  const reply =
    typeof flag.takes === "string" ? offers[flag.takes] : `compadd -- ${flag.takes.join(" ")}; `;
  return `    ${names}) ${reply}return ;;`;
})}
  esac
  case "$place" in
${paths
  .map(({ path, words, flags }) => {
    const own = items(words.map((each) => [each.word, each.description] as const));
    const dashed = items(
      flags.flatMap((each) => each.spellings.map((word) => [word, each.description] as const)),
    );
    return `    ${quote(path)}) items=(${own}) flags=(${dashed}) ;;`;
  })
  .join("\n")}
  esac
  if [[ $PREFIX == -* ]]; then
    _describe -o flag flags
  elif (( $#items )); then
    _describe command items
  else
    _files
  fi
}
if [[ $funcstack[1] == _opta ]]; then _opta "$@"; else compdef _opta opta; fi
`;
}

function fishScript(paths: readonly CompletionPath[]): string {
  const lines = paths.flatMap(({ path, words, flags }) => {
    const at = `complete -c opta -n ${quote(`__opta_at ${quote(path)}`)}`;
    return [
      ...words.map((each) => `${at} -f -a ${quote(each.word)} -d ${quote(each.description)}`),
      ...flags.map((flag) => `${at} ${fishFlag(flag)} -d ${quote(flag.description)}`),
    ];
  });
  return `# Completion of opta for fish. To use it: opta completions fish | source
function __opta_at
    set -l place ''
    set -l typed (commandline -opc)
    for word in $typed[2..]
        switch "$place:$word"
${placeCases(paths, (names, place) => `            case ${names.replaceAll("|", " ")}\n                set place ${quote(place)}`)}
        end
    end
    test "$place" = "$argv[1]"
end
${lines.join("\n")}
`;
}

function fishFlag(flag: CompletionFlag): string {
  const names = flag.spellings.map((each) =>
    each.startsWith("--") ? `-l ${each.slice(2)}` : `-s ${each.slice(1)}`,
  );
  const takes = {
    nothing: "",
    value: " -x",
    file: " -r",
    directory: ` -x -a ${quote("(__fish_complete_directories)")}`,
  };
  const options =
    typeof flag.takes === "string" ? takes[flag.takes] : ` -x -a ${quote(flag.takes.join(" "))}`;
  return `${names.join(" ")}${options}`;
}

/** The transitions of the little machine that finds the path: `:models` -> models, `models:load` -> models load. */
function placeCases(
  paths: readonly CompletionPath[],
  line: (names: string, place: string) => string,
): string {
  return paths
    .filter(({ path }) => path !== "")
    .map(({ path }) => line(quote(path.includes(" ") ? path.replace(" ", ":") : `:${path}`), path))
    .join("\n");
}

/** One line per flag that wants a value, for the word right after it. */
function flagsThatTake(
  paths: readonly CompletionPath[],
  line: (names: string, flag: CompletionFlag) => string,
): string {
  return paths
    .flatMap(({ path, flags }) =>
      flags
        .filter((flag) => flag.takes !== "nothing")
        .map((flag) =>
          line(flag.spellings.map((each) => quote(`${path} ${each}`)).join("|"), flag),
        ),
    )
    .join("\n");
}

function spellings(flags: readonly CompletionFlag[]): readonly string[] {
  return flags.flatMap((flag) => flag.spellings);
}

/** Single quotes, in which only the single quote itself needs care; the three shells agree on '\''. */
function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
