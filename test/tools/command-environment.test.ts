import { expect, test } from "bun:test";
import { createCommandEnvironment } from "../../src/tools/command-environment.ts";

const names = (variables: Record<string, string>) =>
  Object.keys(createCommandEnvironment(variables, "/w")).filter((name) => name in variables);

test("keys, tokens and passwords are taken out, whatever their case", () => {
  const secret = [
    "GITHUB_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "API_KEY",
    "my_api_key",
    "DB_PASSWORD",
    "MYSQL_PASSWD",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GPG_PASSPHRASE",
    "PGPASSFILE",
    "GH_PAT",
    "NPM_AUTH",
    "npm_config__auth",
    "AUTHORIZATION",
    "OAUTH_CLIENT",
    "COOKIE",
    "SESSION_COOKIE",
    "BEARER",
    "SLACK_WEBHOOK_URL",
    "SENTRY_DSN",
    "SMTP_PASS",
    "MYSQL_PWD",
    "CI_JWT",
  ];
  expect(names(Object.fromEntries(secret.map((name) => [name, "x"])))).toEqual([]);
});

test("a URL with a password is taken out, a plain one stays", () => {
  expect(
    names({
      DATABASE_URL: "postgres://me:hunter2@db/x",
      HTTPS_PROXY: "http://:pw@proxy:3128",
      REDIS_URL: "redis://:p/w@h",
      PIP_INDEX_URL: "https://pypi-abc123@pypi.example/simple",
      HTTP_PROXY: "http://proxy:3128",
      REPO: "ssh://git@host:22/x",
    }),
  ).toEqual(["HTTP_PROXY", "REPO"]);
});

test("our own variables and those of model services are taken out", () => {
  const ours = ["BUN_BE_BUN", "BUN_OPTIONS", "OPTA_HOST", "ANTHROPIC_BASE_URL", "OPENAI_ORG"];
  expect(names(Object.fromEntries(ours.map((name) => [name, "x"])))).toEqual([]);
});

test("what changes bash itself is taken out", () => {
  const shell = [
    "BASH_ENV",
    "ENV",
    "PROMPT_COMMAND",
    "PS4",
    "IFS",
    "SHELLOPTS",
    "BASHOPTS",
    "CDPATH",
    "BASH_FUNC_ls%%",
    "NAPI_RS_NATIVE_LIBRARY_PATH",
  ];
  expect(names(Object.fromEntries(shell.map((name) => [name, "x"])))).toEqual([]);
});

test("what programs of the machine need stays", () => {
  const needed = [
    "PATH",
    "HOME",
    "LANG",
    "SSH_AUTH_SOCK",
    "XAUTHORITY",
    "GIT_AUTHOR_NAME",
    "MANPATH",
    "INFOPATH",
    "COMPAT",
    "NODE_OPTIONS",
    "LD_LIBRARY_PATH",
    "CC",
  ];
  expect(names(Object.fromEntries(needed.map((name) => [name, "x"])))).toEqual(needed);
});

test("nothing waits for a person: no pager, no prompt, no colours; and there is always a PATH", () => {
  expect(createCommandEnvironment({ PAGER: "less", TERM: "xterm" }, "/w")).toEqual({
    PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    TERM: "dumb",
    PAGER: "cat",
    GIT_PAGER: "cat",
    GIT_TERMINAL_PROMPT: "0",
    PWD: "/w",
  });
});
