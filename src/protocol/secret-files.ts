// Which files usually hold secrets: the one list that the permission policy (reading one asks) and the
// search tools (their content is left out) share. Judges names only; it never looks at the disk.

const secretNames = new Set([
  ".npmrc",
  ".yarnrc.yml",
  ".netrc",
  "_netrc",
  ".pypirc",
  ".pgpass",
  ".my.cnf",
  ".htpasswd",
  ".git-credentials",
  ".vault-token",
  "credentials",
  "credentials.json",
  "credentials.toml",
  "application_default_credentials.json",
  "service-account.json",
  "terraform.tfstate",
]);

const secretExtensions = [
  ".pem",
  ".key",
  ".p8",
  ".p12",
  ".pfx",
  ".ppk",
  ".jks",
  ".keystore",
  ".kdbx",
  ".tfvars",
];

/** Folders whose whole content is secret. */
const secretFolders = new Set([".ssh", ".gnupg", ".aws", ".azure", ".kube", ".password-store"]);

/** Files that are secret only under a certain folder, as the end of the path. */
const secretEndings = [
  ".docker/config.json",
  ".config/gh/hosts.yml",
  ".config/gcloud/credentials.db",
  ".config/gcloud/access_tokens.db",
  "opta/config.json",
  "opta/daemon/state.json",
  ".git/config",
  "etc/shadow",
  "etc/shadow-",
  "etc/gshadow",
  "etc/gshadow-",
  "etc/master.passwd",
];

/** The variables (API keys among them) and the memory of a process. */
const processSecret = /^\/proc\/(?:[^/]+\/)+(?:environ|mem)$/;

/** Private keys as ssh-keygen names them; the public half (.pub) is no secret. */
const privateKeyName = /^id_(rsa|dsa|ecdsa|ed25519|ecdsa_sk|ed25519_sk|xmss)([._-].*)?$/;

/** .env, .env.local, .envrc, prod.env; but not the templates that repositories publish. */
const environmentName = /^\.env([._-].*|rc)?$|\.env$/;
const environmentTemplate = /\.(example|sample|template|dist|defaults)$/;

/**
 * True when a file of this name usually holds keys, tokens or passwords. `path` may be relative or absolute,
 * with / or \ between its parts; letter case does not matter, because macOS volumes ignore it. Resolve
 * symbolic links first: a link's own name says nothing about the file.
 */
export function isSecretPath(path: string): boolean {
  const parts = path
    .toLowerCase()
    .split(/[\\/]+/)
    .filter((part) => part !== "" && part !== ".");
  const name = parts.at(-1);
  if (name === undefined) return false;
  if (secretNames.has(name)) return true;
  if (privateKeyName.test(name) && !name.endsWith(".pub")) return true;
  if (environmentName.test(name) && !environmentTemplate.test(name)) return true;
  if (secretExtensions.some((extension) => name.endsWith(extension))) return true;
  if (parts.some((part) => secretFolders.has(part))) return true;
  const normal = `/${parts.join("/")}`;
  if (processSecret.test(normal)) return true;
  return secretEndings.some((ending) => normal.endsWith(`/${ending}`));
}
