// `opta completions bash|zsh|fish`: a script on stdout, generated from the command definitions.
import { defineCommand } from "../command.ts";
import { completionScript, shells } from "../completion-scripts.ts";
import { completionPaths } from "../completion-words.ts";

export const command = defineCommand({
  name: "completions",
  summary: "print shell completions for bash, zsh or fish",
  positionals: [
    { name: "shell", description: "bash, zsh or fish", required: true, options: shells },
  ],
  notes: `To use them now and in every new shell, add the line to the shell's start file:
  bash  source <(opta completions bash)
        macOS's own bash 3.2: eval "$(opta completions bash)"
  zsh   source <(opta completions zsh)      after compinit
  fish  opta completions fish | source`,
  examples: [
    "opta completions bash",
    "opta completions fish > ~/.config/fish/completions/opta.fish",
  ],
  async run({ rest, io, commands }) {
    const shell = shells.find((each) => each === rest[0]) ?? "bash";
    io.stdout.write(completionScript(shell, await completionPaths(commands)));
    return 0;
  },
});
