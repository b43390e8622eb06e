import { describe, expect, test } from "bun:test";
import { createPathMatcher } from "../../src/engine/path-globs.ts";
import { alwaysRuleFor, createReadScope, judge } from "../../src/engine/permission-policy.ts";
import type { JudgedCall } from "../../src/engine/permission-policy.ts";
import { permissionModes } from "../../src/protocol/permission-modes.ts";
import type { Effect, PermissionMode, PermissionRule } from "../../src/protocol/permission.ts";

const workspace = "/home/u/project";
const read = (path: string): Effect => ({ kind: "read", path });
const write = (path: string): Effect => ({ kind: "write", path });
const remove = (path: string): Effect => ({ kind: "delete", path });
const exec = (command: string): Effect => ({ kind: "exec", command });
const network = (host: string): Effect => ({ kind: "network", host });
const places = { workspace, settingsDirectory: "/home/u/.local/opta" };
const question: Effect = { kind: "question", question: "which?" };

/** As on a disk where these paths are links. */
const links: readonly (readonly [link: string, target: string])[] = [
  ["/home/u/link", "/data/real"],
  ["/var", "/private/var"],
  [`${workspace}/link`, "/data/real"],
  ["/mnt/project", workspace],
];
function resolveLinks(path: string): string {
  const found = links.find(([link]) => path === link || path.startsWith(`${link}/`));
  return found === undefined ? path : resolveLinks(found[1] + path.slice(found[0].length));
}

function callOf(effects: Effect | readonly Effect[], given: Partial<JudgedCall>): JudgedCall {
  const place = given.workspace ?? workspace;
  return {
    tool: "some_tool",
    effects: Array.isArray(effects) ? effects : [effects as Effect],
    mode: "safe",
    rules: [],
    sessionRules: [],
    matchesPath: createPathMatcher({ workspace: place, home: "/home/u", resolveLinks }),
    workspace,
    settingsDirectory: "/home/u/.local/opta",
    readableDirectories: ["/home/u/.local/opta/output/s1"],
    ...given,
  };
}
const decide = (effects: Effect | readonly Effect[], given: Partial<JudgedCall> = {}) =>
  judge(callOf(effects, given));
const decision = (effects: Effect | readonly Effect[], given: Partial<JudgedCall> = {}) =>
  decide(effects, given).decision;
const allow = (rule: Omit<PermissionRule, "decision">): PermissionRule => ({
  decision: "allow",
  ...rule,
});
const ask = (rule: Omit<PermissionRule, "decision">): PermissionRule => ({
  decision: "ask",
  ...rule,
});
const deny = (rule: Omit<PermissionRule, "decision">): PermissionRule => ({
  decision: "deny",
  ...rule,
});

describe("modes", () => {
  const inside = `${workspace}/src/a.ts`;
  const table: readonly (readonly [what: string, Effect, ...expected: string[]])[] = [
    // effect                                          safe    auto    plan    review  dangerous
    ["a file of the workspace", read(inside), "allow", "allow", "allow", "allow", "allow"],
    ["the workspace itself", read(workspace), "allow", "allow", "allow", "allow", "allow"],
    [
      "the session's output",
      read("/home/u/.local/opta/output/s1/x.txt"),
      "allow",
      "allow",
      "allow",
      "allow",
      "allow",
    ],
    [
      "another session's output",
      read("/home/u/.local/opta/output/s10/x"),
      "ask",
      "ask",
      "ask",
      "ask",
      "allow",
    ],
    ["a secret", read(`${workspace}/.env`), "ask", "ask", "ask", "ask", "allow"],
    [
      "a neighbour with the same beginning",
      read(`${workspace}-2/a`),
      "ask",
      "ask",
      "ask",
      "ask",
      "allow",
    ],
    [
      "a path that climbs out",
      read(`${workspace}/../other/a`),
      "ask",
      "ask",
      "ask",
      "ask",
      "allow",
    ],
    ["a relative path", read("src/a.ts"), "ask", "ask", "ask", "ask", "allow"],
    ["a write", write(inside), "ask", "allow", "deny", "deny", "allow"],
    ["a write outside", write("/etc/hosts"), "ask", "ask", "deny", "deny", "allow"],
    ["a write that climbs out", write(`${workspace}/../x`), "ask", "ask", "deny", "deny", "allow"],
    [
      "a write of a secret",
      write(`${workspace}/.env.local`),
      "ask",
      "ask",
      "deny",
      "deny",
      "allow",
    ],
    [
      "a write to the session's output",
      write("/home/u/.local/opta/output/s1/x"),
      "ask",
      "ask",
      "deny",
      "deny",
      "allow",
    ],
    ["a delete", remove(inside), "ask", "ask", "deny", "deny", "allow"],
    ["a command", exec("ls"), "ask", "ask", "deny", "deny", "allow"],
    ["a connection", network("example.com:443"), "ask", "ask", "ask", "ask", "allow"],
    ["a question", question, "ask", "ask", "ask", "ask", "ask"],
  ];
  const columns: readonly PermissionMode[] = ["safe", "auto", "plan", "review", "dangerous"];
  const cells = table.flatMap(([what, effect, ...expected]) =>
    columns.map((mode, index) => ({ what, mode, effect, expected: expected[index] })),
  );

  test.each(cells)("$what in mode $mode: $expected", ({ mode, effect, expected }) => {
    expect(decision(effect, { mode })).toBe(expected as never);
  });

  test("every mode is in the table", () => {
    expect(columns.toSorted()).toEqual(permissionModes.toSorted());
  });

  test.each(
    [
      ".git/hooks/pre-commit",
      ".git/config",
      ".git",
      "sub/.git/config",
      ".GIT/hooks/x",
      ".opta/config.json",
      ".vscode/tasks.json",
      ".VSCode/settings.json",
      ".envrc",
      ".husky/pre-commit",
      "a/.bashrc",
      ".claude/settings.json",
      ".mcp.json",
      "x.code-workspace",
      ".ssh/authorized_keys",
      "deploy.pem",
      ".bash_aliases",
      ".zlogin",
      ".vimrc",
      ".config/nvim/init.lua",
      ".config/fish/config.fish",
      ".config/git/config",
      ".config/autostart/x.desktop",
      ".config/systemd/user/x.service",
      ".local/bin/ls",
      "Library/LaunchAgents/x.plist",
      ".cargo/config.toml",
      ".hg/hgrc",
      ".pnpmfile.cjs",
      ".codex/config.toml",
      ".gemini/settings.json",
    ].map((path) => ({ path })),
  )("auto asks before it writes $path", ({ path }) => {
    expect(decision(write(`${workspace}/${path}`), { mode: "auto" })).toBe("ask");
  });

  test.each(
    [
      ".gitignore",
      ".github/workflows/ci.yml",
      ".vscode/notes.md",
      "opta/a.ts",
      "git/x",
      ".env.example",
    ].map((path) => ({ path })),
  )("auto writes $path", ({ path }) => {
    expect(decision(write(`${workspace}/${path}`), { mode: "auto" })).toBe("allow");
  });

  const settings = `${workspace}/cfg`;
  const given = { settingsDirectory: settings, readableDirectories: [`${settings}/out/s1`] };
  test.each([...permissionModes])("opta's own settings ask under any name in mode %s", (mode) => {
    const expected = (effect: Effect) => {
      if (mode === "dangerous") return "allow";
      return effect.kind !== "read" && (mode === "plan" || mode === "review") ? "deny" : "ask";
    };
    for (const effect of [
      read(`${settings}/config.json`),
      read(settings),
      read(`${settings}/out/s2/x`),
      write(`${settings}/config.json`),
      write(`${settings}/out/s1/x`),
      remove(`${settings}/sessions/a.json`),
    ]) {
      expect(decision(effect, { mode, ...given })).toBe(expected(effect));
    }
    expect(decision(read(`${settings}/out/s1/x`), { mode, ...given })).toBe("allow");
    expect(decision(read(`${workspace}/cfg2`), { mode, ...given })).toBe("allow");
  });

  test("always for this session does not cover opta's own settings", () => {
    const effect = write(`${workspace}/a`);
    const sessionRules = alwaysRuleFor("some_tool", [effect], { ...places, ...given });
    expect(decision(write(`${settings}/config.json`), { ...given, sessionRules })).toBe("ask");
    const one = alwaysRuleFor("some_tool", [write(`${settings}/a`)], { workspace, ...given });
    expect(decision(write(`${settings}/a`), { ...given, sessionRules: one })).toBe("allow");
    expect(decision(effect, { ...given, sessionRules: one })).toBe("ask");
  });

  test("no rule and no answer lifts plan and review", () => {
    const everything = [
      allow({}),
      allow({ tool: "some_tool" }),
      allow({ path: "**" }),
      allow({ command: "ls" }),
    ];
    for (const mode of ["plan", "review"] as const) {
      for (const effect of [write(inside), remove(inside), exec("ls")]) {
        const verdict = decide(effect, { mode, rules: everything, sessionRules: everything });
        expect(verdict.decision).toBe("deny");
        expect(verdict.remedy).toBe(`run without --mode ${mode}`);
      }
    }
  });

  test("the root as workspace contains everything", () => {
    expect(decision(read("/etc/motd"), { workspace: "/" })).toBe("allow");
  });
});

describe("several effects", () => {
  test("deny beats ask beats allow", () => {
    const reads = read(`${workspace}/a`);
    const rules = [deny({ path: "b" })];
    expect(decision([reads, write(`${workspace}/a`)], { rules })).toBe("ask");
    expect(decision([reads, write(`${workspace}/a`), write(`${workspace}/b`)], { rules })).toBe(
      "deny",
    );
    expect(decision([reads, reads])).toBe("allow");
  });

  test("a call without effects is allowed unless a rule names its tool", () => {
    expect(decision([])).toBe("allow");
    expect(decision([], { rules: [deny({ tool: "some_tool" })] })).toBe("deny");
    expect(decision([], { rules: [ask({ tool: "some_tool" })] })).toBe("ask");
    expect(
      decision([], { rules: [deny({ tool: "some_tool", path: "a" }), deny({ tool: "other" })] }),
    ).toBe("allow");
  });
});

describe("rules", () => {
  test("deny beats ask beats allow, in any order and from any source", () => {
    const effect = write(`${workspace}/a`);
    const [yes, maybe, no] = [allow({ path: "a" }), ask({ path: "a" }), deny({ path: "a" })];
    expect(decision(effect, { rules: [yes, maybe, no] })).toBe("deny");
    expect(decision(effect, { rules: [no, yes] })).toBe("deny");
    expect(decision(effect, { rules: [yes, maybe] })).toBe("ask");
    expect(decision(effect, { rules: [maybe], sessionRules: [yes] })).toBe("ask");
    expect(decision(effect, { rules: [yes] })).toBe("allow");
    expect(decision(effect, { sessionRules: [yes] })).toBe("allow");
  });

  test("dangerous keeps what the user's rules deny or ask", () => {
    const rules = [deny({ prefix: ["rm", "-rf"] }), ask({ prefix: ["git", "push"] }), allow({})];
    const mode = "dangerous";
    expect(decision(exec("rm -rf x"), { mode, rules })).toBe("deny");
    expect(decision(exec("cd a && git push"), { mode, rules })).toBe("ask");
    expect(decision(exec("ls | wc"), { mode, rules })).toBe("allow");
  });

  test("every present field must match, and a field matches only its kind of effect", () => {
    const file = write(`${workspace}/a`);
    expect(decision(file, { rules: [allow({ tool: "some_tool", path: "a" })] })).toBe("allow");
    expect(decision(file, { rules: [allow({ tool: "other", path: "a" })] })).toBe("ask");
    expect(decision(file, { rules: [allow({ path: "a", command: "ls" })] })).toBe("ask");
    expect(decision(file, { rules: [allow({ host: "a" })] })).toBe("ask");
    expect(decision(exec("ls"), { rules: [allow({ path: "**" })] })).toBe("ask");
    expect(decision(exec("ls"), { rules: [allow({ tool: "some_tool" })] })).toBe("allow");
    expect(decision(network("a:80"), { rules: [allow({ command: "a:80" })] })).toBe("ask");
  });

  test.each([
    { glob: "src/**", path: "src/a/b.ts", hit: true },
    { glob: "src/**", path: "src/.hidden", hit: true },
    { glob: "src/", path: "src/a/b.ts", hit: true },
    { glob: "./src/*.ts", path: "src/a.ts", hit: true },
    { glob: "src/*.ts", path: "src/a/b.ts", hit: false },
    { glob: "**/*.ts", path: "a.ts", hit: true },
    { glob: "**", path: "/home/u/other", hit: false },
    { glob: "**", path: "/home/u/project-2/x", hit: false },
    { glob: "**", path: `${workspace}/../other`, hit: false },
    { glob: "**", path: workspace, hit: true },
    { glob: "../other/**", path: "/home/u/other/x", hit: true },
    { glob: "~/notes/**", path: "/home/u/notes/a", hit: true },
    { glob: "~/notes/**", path: "/home/u2/notes/a", hit: false },
    { glob: "/etc/*", path: "/etc/hosts", hit: true },
    { glob: "/etc/*", path: "/etc/ssh/config", hit: false },
    { glob: "SRC/**", path: "src/a", hit: false },
  ])("allow path=$glob on $path: $hit", ({ glob, path, hit }) => {
    const effect = write(path.startsWith("/") ? path : `${workspace}/${path}`);
    expect(decision(effect, { rules: [allow({ path: glob })] })).toBe(hit ? "allow" : "ask");
  });

  test.each([
    { glob: "~/link/**", path: "/data/real/a" },
    { glob: "/home/u/link/**", path: "/data/real/a" },
    { glob: "~/link", path: "/data/real" },
    { glob: "/var/log/*", path: "/private/var/log/a" },
    { glob: "/mnt/project/private/**", path: `${workspace}/private/a` },
    { glob: "link/**", path: "/data/real/a" },
  ])("deny and ask rules hold behind the links in $glob", ({ glob, path }) => {
    const mode = "dangerous";
    expect(decision(read(path), { mode, rules: [deny({ path: glob })] })).toBe("deny");
    expect(decision(read(path), { mode, rules: [ask({ path: glob })] })).toBe("ask");
    expect(decision(read("/data/other/a"), { mode, rules: [deny({ path: glob })] })).toBe("allow");
  });

  test("a rule about a link holds for the link itself too, which a delete names", () => {
    const rules = [deny({ path: "~/link" })];
    expect(decision(remove("/home/u/link"), { mode: "dangerous", rules })).toBe("deny");
    expect(decision(remove("/home/u/link"), { rules: [allow({ path: "~/link" })] })).toBe("allow");
  });

  test("allow rules follow the user's links, and none that the workspace brings along", () => {
    const allows = (path: string, glob: string) =>
      decision(write(path), { rules: [allow({ path: glob })] }) === "allow";
    expect(allows("/data/real/a", "~/link/**")).toBe(true);
    expect(allows("/private/var/log/a", "/var/log/*")).toBe(true);
    expect(allows(`${workspace}/src/a`, "/mnt/project/src/**")).toBe(true);
    expect(allows("/data/real/a", "link/**")).toBe(false);
    expect(allows("/data/real/a", `${workspace}/link/**`)).toBe(false);
    expect(allows("/data/real/a", "/mnt/project/link/**")).toBe(false);
  });

  test("deny globs see through letter case and newlines in names", () => {
    const rules = [deny({ path: "private/**" })];
    expect(decision(read(`${workspace}/Private/a\nb`), { rules })).toBe("deny");
    const allowed = { rules: [allow({ path: "src/**" })] };
    expect(decision(write(`${workspace}/src/a\nb`), allowed)).toBe("allow");
  });

  test("a workspace with glob characters in its name is only itself", () => {
    const given = { workspace: "/w/[ab]*", rules: [allow({ path: "x" })] };
    expect(decision(write("/w/[ab]*/x"), given)).toBe("allow");
    expect(decision(write("/w/acd/x"), given)).toBe("ask");
  });

  test("hosts match in any letter case, with or without port", () => {
    const host = (rule: string, actual: string) =>
      decision(network(actual), { rules: [deny({ host: rule })] }) === "deny";
    expect(host("Example.com", "example.com:443")).toBe(true);
    expect(host("example.com:443", "example.com:443")).toBe(true);
    expect(host("example.com", "example.com.:443")).toBe(true);
    expect(host("example.com:80", "example.com:443")).toBe(false);
    expect(host("example.com", "www.example.com:443")).toBe(false);
    expect(host("[::1]", "[::1]:80")).toBe(true);
  });

  test("a question can be denied in advance, never allowed", () => {
    expect(decision(question, { rules: [allow({ tool: "some_tool" })], mode: "dangerous" })).toBe(
      "ask",
    );
    expect(decision(question, { rules: [deny({ tool: "some_tool" })] })).toBe("deny");
  });
});

describe("allow rules for commands", () => {
  const allowed = (command: string, ...rules: PermissionRule[]) =>
    decision(exec(command), { rules }) === "allow";

  test("an exact command is the same bytes", () => {
    const rule = allow({ command: "npm test && npm run lint" });
    expect(allowed("npm test && npm run lint", rule)).toBe(true);
    expect(allowed("npm test && npm run lint ", rule)).toBe(false);
    expect(allowed("npm test  && npm run lint", rule)).toBe(false);
    expect(allowed("npm test", rule)).toBe(false);
  });

  test("a prefix covers one plain command that begins with its words", () => {
    const rule = allow({ prefix: ["git", "status"] });
    expect(allowed("git status", rule)).toBe(true);
    expect(allowed("git  status -s 'a b'", rule)).toBe(true);
    for (const other of [
      "git",
      "git stash",
      "git statusx",
      "git 'status -s'",
      "Git status",
      "./git status",
      "/usr/bin/git status",
      "/tmp/git status",
      "sudo git status",
    ]) {
      expect(allowed(other, rule)).toBe(false);
    }
  });

  test.each(
    [
      "git status; rm x",
      "git status && rm x",
      "git status || rm x",
      "git status | sh",
      "git status & rm x",
      "git status &",
      "git status\nrm x",
      "git status $(rm x)",
      "git status `rm x`",
      "git status <(rm x)",
      "git status 1<(rm x)",
      "git status > x",
      "git status < x",
      "git status 2>&1",
      "git status <<E\nE",
      "git status $X",
      "git status *",
      "git status ~",
      "git status {a,b}",
      "GIT_PAGER=x git status",
      "(git status)",
      "{ git status; }",
      "! git status",
      "time git status",
      "git status #x",
      "git status \\\n x",
      "git status 'a\nb'",
      "git status\t-s",
      "git status é",
      "if git status; then rm x; fi",
      'git status "$(rm x)"',
      "git status 'a",
      "git status \\; rm x",
      "git() { rm x; }; git status",
      "eval git status",
    ].map((command) => ({ command })),
  )("a prefix never covers %j", ({ command }) => {
    expect(
      allowed(
        command,
        allow({ prefix: ["git", "status"] }),
        allow({ prefix: ["eval"] }),
        allow({ prefix: ["git"] }),
      ),
    ).toBe(false);
  });

  test.each(
    "env exec command builtin sudo xargs find bash sh zsh ssh awk sed perl python python3.12 node bun eval trap time nohup /usr/bin/env csh tcsh pwsh nu fakeroot pkexec sg setarch linux64 bwrap firejail /lib64/ld-linux-x86-64.so.2"
      .split(" ")
      .map((program) => ({ program })),
  )("$program alone as prefix approves nothing", ({ program }) => {
    expect(allowed(`${program} x y`, allow({ prefix: [program] }))).toBe(false);
    if (program !== "time")
      expect(allowed(`${program} x y`, allow({ prefix: [program, "x"] }))).toBe(true);
  });

  test("opta is never approved by a prefix", () => {
    expect(allowed("opta do x", allow({ prefix: ["opta", "do"] }))).toBe(false);
    expect(
      allowed("/usr/local/bin/opta do x", allow({ prefix: ["/usr/local/bin/opta", "do"] })),
    ).toBe(false);
    expect(allowed("env BUN_BE_BUN=1 opta x", allow({ prefix: ["env", "BUN_BE_BUN=1"] }))).toBe(
      false,
    );
    expect(allowed("opta status", allow({ command: "opta status" }))).toBe(true);
  });

  test("git alone covers nothing, because some subcommands run programs", () => {
    for (const command of [
      "git log",
      "git -c alias.x=!rm x",
      "git bisect run rm",
      "git difftool -x rm",
    ])
      expect(allowed(command, allow({ prefix: ["git"] }))).toBe(false);
    expect(allowed("git log -5", allow({ prefix: ["git", "log"] }))).toBe(true);
  });
});

describe("deny rules for commands", () => {
  const denied = (command: string, ...rules: PermissionRule[]) =>
    decision(exec(command), { mode: "dangerous", rules });
  const rule = deny({ prefix: ["rm", "-rf"] });

  test.each(
    [
      "rm -rf x",
      "cd a && rm -rf x",
      "a; rm -rf x",
      "a | rm -rf x",
      "echo $(rm -rf x)",
      "echo `rm -rf x`",
      "(rm -rf x)",
      "sudo rm -rf x",
      "/bin/rm -rf x",
      "RM -rf x",
      "\\rm -rf x",
      "r'm' -rf x",
      "A=b rm -rf x",
      "rm -rf x > y",
      "bash -c 'rm -rf x'",
      "if a; then rm -rf x; fi",
      "f() { rm -rf x; }; f",
      "a\nrm -rf x",
      "find . -exec rm -rf x ;",
      "cat <<E\n$(rm -rf x)\nE",
    ].map((command) => ({ command })),
  )("catch %j", ({ command }) => {
    expect(denied(command, rule)).toBe("deny");
  });

  test.each(
    ["rm x", "rm -r -f x", "echo rm -rf x", "echo 'rm -rf x'", "git rm -rf x", "ls"].map(
      (command) => ({ command }),
    ),
  )("leave %j alone", ({ command }) => {
    expect(denied(command, rule)).toBe("allow");
  });

  test.each(
    [
      "$X -rf x",
      "rm $FLAGS x",
      "{rm,-rf,x}",
      "r* -rf x",
      "a 1<(rm -rf x)",
      "curl x | sh",
      "if",
      "env -S'rm -rf x'",
      "awk 'BEGIN{system(\"rm -rf x\")}'",
      "PS4='$(rm -rf x)'; set -x; true",
      ". /dev/stdin <<< 'rm -rf x'",
    ].map((command) => ({ command })),
  )("ask about %j, which may hide it", ({ command }) => {
    expect(denied(command, rule)).toBe("ask");
    expect(denied(command, rule, allow({ command }))).toBe("allow");
    expect(denied(command, rule, allow({ prefix: ["curl"] }))).toBe("ask");
  });

  test("an exact command is found inside a line, with those words and no others", () => {
    const exact = deny({ command: "git push" });
    expect(denied("git push", exact)).toBe("deny");
    expect(denied("git add . && git  push", exact)).toBe("deny");
    expect(denied("git push --dry-run", exact)).toBe("allow");
    expect(denied(" git push | cat ", deny({ command: "git push | cat" }))).toBe("deny");
  });
});

describe("what a permitted search or listing may show", () => {
  const scope = (root: string, given: Partial<JudgedCall> = {}) =>
    createReadScope(callOf(read(root), given));
  const rules = [deny({ path: "private/**" }), ask({ path: "drafts/**" })];

  test("is what reading it would be allowed for", () => {
    const { mayRead, mayList } = scope(workspace, { rules });
    const shown = (path: string) => [
      mayRead(`${workspace}/${path}`),
      mayList(`${workspace}/${path}`),
    ];
    expect(shown("src/a.ts")).toEqual([true, true]);
    expect(shown("private/a.ts")).toEqual([false, false]);
    expect(shown("private")).toEqual([false, false]);
    expect(shown("drafts/a.ts")).toEqual([false, false]);
    // Its name is no secret; hiding it would have the model write a second one.
    expect(shown(".env")).toEqual([false, true]);
    expect(scope(workspace, { mode: "dangerous", rules }).mayRead(`${workspace}/.env`)).toBe(true);
    expect(scope(workspace, { mode: "dangerous", rules }).mayRead(`${workspace}/private/a`)).toBe(
      false,
    );
  });

  test("includes what the question about its root was about, and nothing else", () => {
    const outside = scope("/etc", { rules: [deny({ path: "/etc/ssl/**" })] });
    expect(outside.mayRead("/etc/hosts")).toBe(true);
    expect(outside.mayRead("/etc/shadow")).toBe(false);
    expect(outside.mayRead("/etc/ssl/cert")).toBe(false);
    const drafts = scope(`${workspace}/drafts`, { rules });
    expect([
      drafts.mayRead(`${workspace}/drafts/a`),
      drafts.mayList(`${workspace}/drafts/a`),
    ]).toEqual([true, true]);
    expect(drafts.mayRead(`${workspace}/drafts/.env`)).toBe(false);
    expect(scope("/home/u/.ssh").mayRead("/home/u/.ssh/id_rsa")).toBe(true);
    expect(scope("/home/u/.local/opta").mayRead("/home/u/.local/opta/sessions/a")).toBe(true);
    expect(scope("/home/u").mayRead("/home/u/.local/opta/sessions/a")).toBe(false);
  });

  test("includes what lies below a root that a rule or an answer allows", () => {
    const sessionRules = alwaysRuleFor("some_tool", [read("/etc")], places);
    expect(scope("/etc", { sessionRules }).mayRead("/etc/hosts")).toBe(true);
    expect(scope("/etc", { sessionRules }).mayRead("/etc/shadow")).toBe(false);
    const given = { rules: [allow({ path: "~/.ssh" })] };
    expect(scope("/home/u/.ssh", given).mayRead("/home/u/.ssh/id_rsa")).toBe(true);
  });
});

describe("always for this session", () => {
  const after = (effect: Effect, next: Effect) =>
    decision(next, { sessionRules: alwaysRuleFor("some_tool", [effect], places) });

  test("covers that tool everywhere in the workspace, but no protected file", () => {
    const given = write(`${workspace}/a`);
    expect(after(given, write(`${workspace}/deep/b`))).toBe("allow");
    expect(after(given, write(`${workspace}/.env`))).toBe("ask");
    expect(after(given, write(`${workspace}/.git/config`))).toBe("ask");
    expect(after(given, write("/home/u/other"))).toBe("ask");
    expect(
      decision(given, {
        tool: "other",
        sessionRules: alwaysRuleFor("some_tool", [given], places),
      }),
    ).toBe("ask");
  });

  test.each(
    [
      `${workspace}/.env`,
      "/etc/hosts",
      `${workspace}/[a]*{b,c}/.env`,
      "/x/!(a)\\b",
      `${workspace}/~/.env`,
    ].map((path) => ({ path })),
  )("covers only $path itself", ({ path }) => {
    expect(after(read(path), read(path))).toBe("allow");
    expect(after(read(path), read(`${path}.local`))).toBe("ask");
    expect(after(read(path), read("/home/u/.env"))).toBe("ask");
  });

  test("covers that command line and that host", () => {
    expect(after(exec("npm test | cat"), exec("npm test | cat"))).toBe("allow");
    expect(after(exec("npm test"), exec("npm test x"))).toBe("ask");
    expect(after(network("a.b:443"), network("a.b:443"))).toBe("allow");
    expect(after(network("a.b:443"), network("a.b:8443"))).toBe("ask");
    expect(alwaysRuleFor("ask_user", [question], places)).toEqual([]);
  });

  test("names each rule once", () => {
    const effects = [write(`${workspace}/a`), write(`${workspace}/b`)];
    expect(alwaysRuleFor("multi_edit", effects, places)).toEqual([
      { decision: "allow", tool: "multi_edit", path: "**" },
    ]);
  });
});

describe("the words of a verdict", () => {
  test("name the mode and the flag", () => {
    expect(decide(write(`${workspace}/src/a.ts`))).toEqual({
      decision: "ask",
      rule: "mode safe: writes ask",
      reason: "Writing src/a.ts needs approval.",
      remedy: "opta do --auto …",
    });
  });

  test("name a rule of the user by its number", () => {
    const rules = [allow({ path: "a" }), deny({ tool: "run_command", prefix: ["rm", "-rf"] })];
    expect(decide(exec("rm -rf x"), { tool: "run_command", rules })).toEqual({
      decision: "deny",
      rule: 'rule 2: deny tool=run_command prefix="rm -rf"',
      reason: "Running `rm -rf x` is denied by a rule.",
      remedy: "change the rule: `opta config get permissions.rules` shows them in order",
    });
  });

  test("name the answer of the session", () => {
    const effect = write(`${workspace}/a`);
    const sessionRules = alwaysRuleFor("edit_file", [effect, exec("ls")], places);
    expect(decide(effect, { tool: "edit_file", sessionRules }).rule).toBe(
      "session: always allow edit_file",
    );
    expect(decide(exec("ls"), { tool: "edit_file", sessionRules }).rule).toBe(
      'session: always allow edit_file command="ls"',
    );
  });

  test("give a command that a shell passes on unchanged and that allows the call", async () => {
    const effect = exec("echo 'it''s' \"$HOME\"");
    const { remedy = "" } = decide(effect, { tool: "run_command" });
    const typed = remedy.slice(0, remedy.lastIndexOf(", or "));
    const shell = Bun.spawn(["bash", "-c", `opta() { printf '%s' "$4"; }; ${typed}`]);
    const rule = JSON.parse(await new Response(shell.stdout).text()) as PermissionRule;
    expect(typed).toStartWith("opta config add permissions.rules ");
    expect(decision(effect, { tool: "run_command", rules: [rule] })).toBe("allow");
  });

  test("show line breaks and hidden characters instead of leaving them out", () => {
    const { reason } = decide(exec("echo a\nrm x\u001b[2J\u202e"));
    expect(reason).toBe("Running `echo a\\nrm x\\x1b[2J\\u202e` needs approval.");
  });

  test("stay on one short line", () => {
    const { reason, remedy, rule } = decide(exec(`echo ${"x".repeat(500)}\u001b[2J\nrm`));
    for (const text of [reason, remedy ?? "", rule]) {
      expect(text.length).toBeLessThan(200);
      expect(text).not.toMatch(/\p{Cc}/u);
    }
  });
});
