// What of our environment a command may see. Allowed by removal: programs need the variables of the user's
// machine (PATH, LANG, SSH_AUTH_SOCK, NODE_OPTIONS, LD_*, DYLD_*: they make a command behave as in the user's
// own terminal), but no keys, and nothing that changes what bash makes of the command that policy judged.

/**
 * Removed by name. BUN_*: BUN_BE_BUN turns this executable into the bun command line. NAPI_RS_*: loads any
 * library into Node programs of ours. BASH_*: BASH_ENV runs a file first, BASH_FUNC_* replaces commands. TMOUT,
 * FUNCNEST and GREP_OPTIONS would also change the shell that watches over the command (command-process.ts).
 */
const removedNames =
  /^(?:BUN_|OPTA_|ANTHROPIC_|OPENAI_|NAPI_RS_|BASH_)|^(?:ENV|BASHOPTS|SHELLOPTS|PROMPT_COMMAND|PS4|IFS|CDPATH|GLOBIGNORE|POSIXLY_CORRECT|OLDPWD|TMOUT|FUNCNEST|GREP_OPTIONS)$/;

/** Short words only as whole words; AUTH neither in AUTHOR nor for the socket of an agent. */
const secretName =
  /KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|PGPASS|COOKIE|BEARER|WEBHOOK|AUTH(?!OR(?!I[SZ])|_SOCK)|(?:^|_)(?:PAT|PASS|DSN|JWT)(?:$|_)|_PWD$/i;

/** A URL with a password, or with a token for a user: proxies, databases, package registries. */
const secretValue = /:\/\/[^\s/@]*:[^\s@]+@|https?:\/\/[^\s/@]+@/;

/** Programs must not wait for a person, page or colour: nobody is there and the output is text for a model. */
const forced = {
  TERM: "dumb",
  PAGER: "cat",
  GIT_PAGER: "cat",
  GIT_TERMINAL_PROMPT: "0",
} as const;

const usualPath = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/** The environment of a command that runs in `directory`. */
export function createCommandEnvironment(
  variables: Readonly<Record<string, string | undefined>>,
  directory: string,
): Record<string, string> {
  const kept: Record<string, string> = { PATH: usualPath };
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined || removedNames.test(name)) continue;
    if (!secretName.test(name) && !secretValue.test(value)) kept[name] = value;
  }
  return { ...kept, ...forced, PWD: directory };
}
