import { describe, expect, test } from "bun:test";
import { isSecretPath } from "../../src/protocol/secret-files.ts";

const secret = [
  ".env",
  "/w/.env",
  "app/.env.local",
  "app/.env.production",
  ".env-staging",
  ".envrc",
  "deploy/prod.env",
  "/home/me/.ssh/id_rsa",
  "/home/me/.ssh/config",
  "keys/id_ed25519",
  "id_rsa.bak",
  "server.pem",
  "tls/server.key",
  "AuthKey_1.p8",
  "store.p12",
  "cert.pfx",
  "release.keystore",
  ".npmrc",
  "/home/me/.netrc",
  ".pypirc",
  "credentials",
  "credentials.json",
  "/home/me/.aws/credentials",
  "/home/me/.aws/config",
  ".git-credentials",
  "/home/me/.docker/config.json",
  "/home/me/.gnupg/private-keys-v1.d/x.key",
  "/home/me/.config/opta/config.json",
  "/home/me/.config/opta/daemon/state.json",
  "repo/.git/config",
  "C:\\Users\\me\\.ssh\\id_rsa",
  "APP/.ENV",
  "Server.PEM",
];

const plain = [
  "",
  ".",
  "/",
  ".env.example",
  ".env.sample",
  ".env.template",
  "config/.env.local.example",
  "environment.ts",
  "src/env.ts",
  "id_rsa.pub",
  "id_ed25519.pub",
  "idea.ts",
  "src/key.ts",
  "src/keys.json",
  "keyboard.md",
  "package.json",
  "config.json",
  ".opta/config.json",
  "src/credentials.ts",
  "docker/config.json",
  "README.md",
  ".gitignore",
];

describe("isSecretPath", () => {
  for (const path of secret) test(`${path} is secret`, () => expect(isSecretPath(path)).toBe(true));
  for (const path of plain)
    test(`${path || "(empty)"} is not secret`, () => expect(isSecretPath(path)).toBe(false));
});
