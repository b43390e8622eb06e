// The property list of the launch agent on macOS (launchd.plist(5)). Text only: launch-agent.ts writes it.
import type { LaunchSpec } from "./launch-spec.ts";

export const launchAgentLabel = "app.opta.daemon";

/** SIGTERM to SIGKILL. A clean stop takes 5 s at most (promises D4); launchd's own limit is 20 s. */
const exitTimeoutSeconds = 20;
/** Between two starts of a daemon that crashes; launchd's default, said aloud. */
const throttleSeconds = 10;

/** The whole XML file. No text of `spec` may have control characters: XML cannot carry them. */
export function launchAgentPlist(spec: LaunchSpec): string {
  const { executable, path, logDirectory, environment } = spec;
  const content = dictionary({
    Label: string(launchAgentLabel),
    ProgramArguments: array([executable, "daemon", "run"].map(string)),
    EnvironmentVariables: dictionary({
      PATH: string(path),
      ...Object.fromEntries(
        Object.entries(environment).map(([name, text]) => [name, string(text)]),
      ),
    }),
    WorkingDirectory: string("/"),
    RunAtLoad: "<true/>",
    // Started again after a crash; `opta daemon stop` ends it with 0 and it stays down.
    KeepAlive: dictionary({ SuccessfulExit: "<false/>" }),
    ExitTimeOut: integer(exitTimeoutSeconds),
    ThrottleInterval: integer(throttleSeconds),
    // A person waits for every token. Background throttles CPU and I/O, and so does the default, a little;
    // Adaptive leaves Background only while XPC messages come in, and we have sockets.
    ProcessType: string("Interactive"),
    StandardOutPath: string("/dev/null"),
    // The log rotates itself; here is only what a crash of the runtime says.
    StandardErrorPath: string(`${logDirectory}/daemon.stderr.log`),
  });
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
${content}
</plist>
`;
}

/** Name -> element. */
function dictionary(entries: Readonly<Record<string, string>>): string {
  const lines = Object.entries(entries).map(
    ([name, xml]) => `<key>${escapeXml(name)}</key>\n${xml}`,
  );
  return `<dict>\n${indent(lines.join("\n"))}\n</dict>`;
}

function array(elements: readonly string[]): string {
  return `<array>\n${indent(elements.join("\n"))}\n</array>`;
}

function string(text: string): string {
  return `<string>${escapeXml(text)}</string>`;
}

function integer(value: number): string {
  return `<integer>${value}</integer>`;
}

/** No text has a line feed, so that only elements are moved. */
function indent(xml: string): string {
  return xml.replace(/^/gm, "  ");
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
};

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}
