// The user unit of the daemon on Linux (systemd.service(5), systemd.exec(5)) and systemd's rules of quoting
// (systemd.syntax(7)). Text only: launch-agent.ts writes it.
import type { LaunchSpec } from "./launch-spec.ts";

export const unitName = "opta-daemon.service";

/** Slower than systemd's limit of 5 starts in 10 s, after which it would never try again. */
const restartSeconds = 5;
/** SIGTERM to SIGKILL. A clean stop takes 5 s at most (promises D4). */
const stopSeconds = 20;
/** Another daemon serves this directory: starting again would not help (protocol/error.ts). */
const heldExitCode = 3;

/** The whole unit file. No text of `spec` may have control characters: systemd refuses them in a program's path. */
export function systemdUnit(spec: Omit<LaunchSpec, "logDirectory">): string {
  const variables = Object.entries({ PATH: spec.path, ...spec.environment });
  const lines = variables.map(([name, text]) => `Environment=${quote(`${name}=${text}`)}`);
  return `[Unit]
Description=opta daemon

[Service]
ExecStart=${commandLine(spec.executable)}
${lines.join("\n")}
WorkingDirectory=/
Restart=on-failure
RestartSec=${restartSeconds}
RestartPreventExitStatus=${heldExitCode}
TimeoutStopSec=${stopSeconds}
KillMode=mixed

[Install]
WantedBy=default.target
`;
}

/**
 * In the first word systemd takes $ as it is; in the words after it, $$ is one $. It refuses a program whose
 * path has quotes or backslashes, however they are written (systemd issue 11561): /bin/sh becomes such a one.
 */
function commandLine(executable: string): string {
  if (!/["'\\]/.test(executable)) return `${quote(executable)} daemon run`;
  const words = ["-c", 'exec "$0" "$@"', executable].map((word) =>
    quote(word.replaceAll("$", "$$$$")),
  );
  return `/bin/sh ${words.join(" ")} daemon run`;
}

/** One word or assignment: backslash and quote by C's rules, % doubled because it starts a specifier. */
function quote(text: string): string {
  return `"${text.replace(/["\\]/g, String.raw`\$&`).replaceAll("%", "%%")}"`;
}
