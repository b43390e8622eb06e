// Files inside a workspace that a blanket "yes, edit" does not cover: secrets, the history and settings of
// git and opta, and files that an editor, shell or other agent executes by itself, where a write is as good
// as a command. The one list of the kind; judges names only.
import { isSecretPath } from "../protocol/secret-files.ts";

/** Folders at any depth; compared in lower case, because macOS volumes ignore letter case. */
const protectedFolders = [
  ".git",
  ".opta",
  ".husky",
  ".githooks",
  ".idea",
  ".devcontainer",
  ".claude",
  ".cursor",
  ".codex",
  ".gemini",
  ".config/opta",
  ".config/nvim",
  ".config/fish",
  ".config/git",
  ".config/autostart",
  ".config/systemd/user",
  ".local/bin",
  "library/launchagents",
];

/** File names, or the ends of paths, at any depth. */
const protectedEndings = [
  ".envrc",
  ".mcp.json",
  ".mise.toml",
  "mise.toml",
  ".exrc",
  ".vimrc",
  ".nvimrc",
  ".nvim.lua",
  ".gitconfig",
  ".gitmodules",
  ".bashrc",
  ".bash_profile",
  ".bash_login",
  ".bash_aliases",
  ".profile",
  ".zshrc",
  ".zshenv",
  ".zprofile",
  ".zlogin",
  ".cargo/config.toml",
  ".hg/hgrc",
  ".pnpmfile.cjs",
  ".vscode/tasks.json",
  ".vscode/settings.json",
  ".vscode/launch.json",
  ".vscode/extensions.json",
  ".zed/tasks.json",
  ".zed/settings.json",
];

/** True when a write to this absolute path needs a question of its own in every mode but `dangerous`. */
export function isProtectedPath(path: string): boolean {
  if (isSecretPath(path)) return true;
  const lower = `${path.toLowerCase()}/`;
  if (protectedFolders.some((folder) => lower.includes(`/${folder}/`))) return true;
  if (lower.endsWith(".code-workspace/")) return true;
  return protectedEndings.some((ending) => lower.endsWith(`/${ending}/`));
}
