// Programs that run other programs or code from their arguments: a rule about `env` says nothing about what
// `env` starts. One list, read by the allow side (a bare wrapper is never approved by a prefix) and by the
// deny side (what a wrapper starts is looked at too). Names only; it knows no rules.

/** Their arguments are lines of shell text. */
const shells = new Set(
  "bash sh dash zsh ksh csh tcsh fish ash rbash pwsh nu eval trap su sg ssh watch parallel script".split(
    " ",
  ),
);

/** Their arguments name a program, or are a program in another language. */
const launchers = new Set(
  (
    "env exec command builtin coproc source . sudo doas xargs find fd awk gawk mawk nawk sed perl python pypy " +
    "ruby node nodejs bun bunx deno npx pnpx uvx php lua tclsh time timeout nohup nice ionice chrt taskset setsid " +
    "stdbuf unbuffer expect tmux screen busybox toybox chroot unshare nsenter setpriv runuser flock strace gdb " +
    "open osascript launchctl systemd-run caffeinate arch enable alias hash mapfile readarray complete " +
    "compgen bind fc let fakeroot pkexec setarch linux bwrap firejail ld.so"
  ).split(" "),
);

/**
 * The last part of a program's path, without a version or word size behind it: /usr/bin/python3.12 -> python,
 * linux64 -> linux; the dynamic loader of any machine is ld.so.
 */
export function programName(word: string): string {
  const name = word.slice(word.lastIndexOf("/") + 1);
  const plain = name.replace(/[\d.]+$/, "") || name;
  return /^ld-[\w-]+\.so$/.test(plain) ? "ld.so" : plain;
}

/** True for a program whose arguments decide what really runs. */
export function isWrapper(word: string): boolean {
  const name = programName(word);
  return shells.has(name) || launchers.has(name);
}

/** True for a wrapper whose arguments, or standard input, are shell text. */
export function isShell(word: string): boolean {
  return shells.has(programName(word));
}
