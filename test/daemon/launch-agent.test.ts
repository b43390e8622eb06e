import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parse } from "plist";
import type { Clock } from "../../src/base/clock.ts";
import { createEnvironment } from "../../src/config/environment.ts";
import {
  installLaunchAgent,
  launchAgentPath,
  uninstallLaunchAgent,
} from "../../src/daemon/launch-agent.ts";
import { runServiceCommand, type ServiceCommandResult } from "../../src/daemon/launch-command.ts";
import { launchAgentPlist } from "../../src/daemon/launch-plist.ts";
import { systemdUnit } from "../../src/daemon/launch-unit.ts";

const place = { directory: "" };
const at = (name: string) => join(place.directory, name);
beforeEach(() => {
  place.directory = realpathSync(mkdtempSync(join(tmpdir(), "opta-launch-")));
});
afterEach(() => rmSync(place.directory, { recursive: true, force: true }));

const hostileTexts = [
  "/a dir/with  spaces/opta",
  "/a&b;<c>/]]>/&amp;/opta",
  `/o'brien/"quoted"/opta`,
  "/100%/%n%%h/$HOME/${PATH}/$$/opta",
  String.raw`/back\slash/\n/\x41/opta\ `,
  "/#hash/;semi/=equal/日本/é/opta",
];

describe("the property list", () => {
  const spec = {
    executable: "/opt/opta/bin/opta",
    path: "/opt/homebrew/bin:/usr/bin",
    logDirectory: "/Users/ada/.config/opta/daemon",
    environment: { OPTA_CONFIG_DIR: "/Users/ada/.config/opta" },
  };

  test("says what launchd is to run, and how", () => {
    expect(parse(launchAgentPlist(spec))).toEqual({
      Label: "app.opta.daemon",
      ProgramArguments: ["/opt/opta/bin/opta", "daemon", "run"],
      EnvironmentVariables: {
        PATH: "/opt/homebrew/bin:/usr/bin",
        OPTA_CONFIG_DIR: "/Users/ada/.config/opta",
      },
      WorkingDirectory: "/",
      RunAtLoad: true,
      KeepAlive: { SuccessfulExit: false },
      ExitTimeOut: 20,
      ThrottleInterval: 10,
      ProcessType: "Interactive",
      StandardOutPath: "/dev/null",
      StandardErrorPath: "/Users/ada/.config/opta/daemon/daemon.stderr.log",
    });
  });

  for (const text of hostileTexts) {
    test(`carries ${text} unchanged`, () => {
      const xml = launchAgentPlist({
        executable: text,
        path: `${text}:/bin`,
        logDirectory: text,
        environment: { XDG_CONFIG_HOME: text },
      });
      expect(parse(xml)).toMatchObject({
        ProgramArguments: [text, "daemon", "run"],
        EnvironmentVariables: { PATH: `${text}:/bin`, XDG_CONFIG_HOME: text },
        StandardErrorPath: `${text}/daemon.stderr.log`,
      });
    });
  }
});

describe("the systemd unit", () => {
  test("says what systemd is to run, and how", () => {
    const unit = systemdUnit({
      executable: "/opt/opta/bin/opta",
      path: "/usr/local/bin:/usr/bin",
      environment: { XDG_CONFIG_HOME: "/home/ada/settings" },
    });
    expect(unit).toBe(`[Unit]
Description=opta daemon

[Service]
ExecStart="/opt/opta/bin/opta" daemon run
Environment="PATH=/usr/local/bin:/usr/bin"
Environment="XDG_CONFIG_HOME=/home/ada/settings"
WorkingDirectory=/
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=3
TimeoutStopSec=20
KillMode=mixed

[Install]
WantedBy=default.target
`);
  });

  for (const text of hostileTexts) {
    test(`carries ${text} unchanged`, () => {
      const unit = systemdUnit({ executable: text, path: text, environment: {} });
      const settings = unit.split("\n");
      const valueOf = (name: string) =>
        settings.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
      expect(readWords(valueOf("Environment"))).toEqual([`PATH=${text}`]);
      expect(readCommand(valueOf("ExecStart"))).toEqual([text, "daemon", "run"]);
    });
  }

  test("a program whose path systemd refuses is started with its arguments all the same", async () => {
    const program = at(`o'brien/"a" $HOME %h \\n=/opta`);
    putProgram(program, `#!/bin/sh\nprintf '%s\\n' "$0" "$@"\n`);
    const unit = systemdUnit({ executable: program, path: "/bin", environment: {} });
    const line = /^ExecStart=(.*)$/m.exec(unit)?.[1] ?? "";
    const argv = readWords(line).map((word) => word.replaceAll("$$", "$"));
    expect(argv[0]).toBe("/bin/sh");
    expect(await Bun.$`${argv}`.text()).toBe(`${program}\ndaemon\nrun\n`);
  });

  const analyzer = Bun.which("systemd-analyze");
  const verified = analyzer === null ? "(not run: systemd-analyze is not installed)" : "";
  test.skipIf(analyzer === null)(
    `systemd-analyze has nothing to say about it ${verified}`,
    async () => {
      mkdirSync(at("runtime"), { mode: 0o700 });
      for (const text of hostileTexts) {
        const program = at(text.slice(1));
        putProgram(program, "#!/bin/sh\n");
        const unit = systemdUnit({
          executable: program,
          path: `${program}:/bin`,
          environment: { OPTA_CONFIG_DIR: program },
        });
        writeFileSync(at("opta-daemon.service"), unit);
        expect(await verify(at("opta-daemon.service"))).toEqual({ exitCode: 0, output: "" });
      }
      // The check does check: a program that is not there, a setting that systemd does not know.
      const broken = systemdUnit({ executable: at("missing"), path: "/bin", environment: {} });
      writeFileSync(at("opta-daemon.service"), broken.replace("KillMode", "KillMood"));
      const { exitCode, output } = await verify(at("opta-daemon.service"));
      expect(exitCode).not.toBe(0);
      expect(output).toContain("missing is not executable");
      expect(output).toContain("KillMood");
    },
  );
});

describe("installing on macOS", () => {
  const domain = `gui/${process.getuid?.()}`;
  const target = `${domain}/app.opta.daemon`;
  const plistPath = () => at("home/Library/LaunchAgents/app.opta.daemon.plist");
  const bootstrap = () => ["launchctl", "bootstrap", domain, plistPath()];

  test("writes the plist, the log's directory, and loads the agent", async () => {
    const launchd = createLaunchd();
    const report = await installLaunchAgent(macOptions(launchd));
    expect(report).toEqual({
      state: "installed",
      path: plistPath(),
      message: `installed ${plistPath()}: the daemon runs now and from every login on`,
      next: undefined,
    });
    expect(launchd.calls).toEqual([["launchctl", "bootout", target], bootstrap()]);
    expect(modeOf(plistPath())).toBe(0o644);
    expect(readdirSync(dirname(plistPath()))).toEqual(["app.opta.daemon.plist"]);
    expect(modeOf(at("home/.config/opta/daemon"))).toBe(0o700);
    expect(parse(readFileSync(plistPath(), "utf8"))).toMatchObject({
      ProgramArguments: ["/opt/opta/bin/opta", "daemon", "run"],
      StandardErrorPath: at("home/.config/opta/daemon/daemon.stderr.log"),
    });
  });

  test("takes PATH and the variables that choose the directory along, and nothing else", async () => {
    await installLaunchAgent({
      ...macOptions(createLaunchd()),
      environment: createEnvironment({
        HOME: at("home"),
        PATH: "/home/ada/bin:relative:/usr/bin",
        OPTA_CONFIG_DIR: at("settings"),
        XDG_CONFIG_HOME: at("xdg"),
        OPTA_API_KEY: "sk-very-secret",
        ANTHROPIC_API_KEY: "sk-ant-secret",
      }),
    });
    const text = readFileSync(plistPath(), "utf8");
    expect(parse(text)).toMatchObject({
      EnvironmentVariables: {
        PATH: "/home/ada/bin:/usr/bin:/opt/homebrew/bin:/usr/local/bin:/bin:/usr/sbin:/sbin",
        OPTA_CONFIG_DIR: at("settings"),
        XDG_CONFIG_HOME: at("xdg"),
      },
      StandardErrorPath: at("settings/daemon/daemon.stderr.log"),
    });
    expect(text).not.toContain("secret");
  });

  test("a second time changes nothing and leaves the running daemon alone", async () => {
    const launchd = createLaunchd();
    await installLaunchAgent(macOptions(launchd));
    const before = statSync(plistPath()).ino;
    launchd.calls.length = 0;
    const report = await installLaunchAgent(macOptions(launchd));
    expect(report).toMatchObject({
      state: "already-installed",
      message: `already installed: ${plistPath()}`,
      next: undefined,
    });
    expect(launchd.calls).toEqual([["launchctl", "print", target]]);
    expect(statSync(plistPath()).ino).toBe(before);
  });

  test("another executable replaces the agent, however long launchd holds the old one", async () => {
    const launchd = createLaunchd({ refusalsAfterBootout: 11 });
    await installLaunchAgent(macOptions(launchd));
    launchd.calls.length = 0;
    const report = await installLaunchAgent({
      ...macOptions(launchd),
      executable: "/opt/opta-2/bin/opta",
    });
    expect(report.state).toBe("installed");
    expect(launchd.calls).toEqual([
      ["launchctl", "bootout", target],
      ...Array.from({ length: 12 }, bootstrap),
    ]);
    expect(readFileSync(plistPath(), "utf8")).toContain("/opt/opta-2/bin/opta");
  });

  test("without a graphical login the plist stays, and the report says what to type", async () => {
    const refused = "Bootstrap failed: 125: Domain does not support specified action\nTry again";
    const run = () => Promise.resolve({ exitCode: 125, stderr: refused });
    const report = await installLaunchAgent({ ...macOptions(createLaunchd()), run });
    expect(report).toEqual({
      state: "file-only",
      path: plistPath(),
      message: `wrote ${plistPath()}, but launchctl failed: Bootstrap failed: 125: Domain does not support specified action`,
      next: `launchctl bootstrap ${domain} ${plistPath()}`,
    });
    expect(existsSync(plistPath())).toBe(true);
  });

  test("the command to type is quoted for a shell", async () => {
    const home = at("o'brien & sons");
    const report = await installLaunchAgent({
      ...macOptions(createLaunchd()),
      environment: createEnvironment({ HOME: home }),
      run: () => Promise.resolve({ exitCode: 1, stderr: "" }),
    });
    const path = join(home, "Library/LaunchAgents/app.opta.daemon.plist");
    expect(report.message).toEndWith("but launchctl failed: exit code 1");
    const words = await Bun.$`sh -c ${`printf '%s\n' ${report.next}`}`.text();
    expect(words.trimEnd().split("\n")).toEqual(["launchctl", "bootstrap", domain, path]);
  });

  test("uninstalling unloads the agent and removes the plist; settings stay", async () => {
    const launchd = createLaunchd();
    await installLaunchAgent(macOptions(launchd));
    launchd.calls.length = 0;
    const report = await uninstallLaunchAgent(macOptions(launchd));
    expect(report).toMatchObject({ state: "removed", message: `removed ${plistPath()}` });
    expect(report.next).toBeUndefined();
    expect(launchd.calls).toEqual([["launchctl", "bootout", target]]);
    expect(existsSync(plistPath())).toBe(false);
    expect(existsSync(at("home/.config/opta/daemon"))).toBe(true);
  });

  test("uninstalling what is not installed says so", async () => {
    expect(await uninstallLaunchAgent(macOptions(createLaunchd()))).toMatchObject({
      state: "not-installed",
      message: `not installed: there is no ${plistPath()}`,
      next: undefined,
    });
  });
});

describe("installing on Linux", () => {
  const unitPath = () => at("home/.config/systemd/user/opta-daemon.service");
  const reload = ["systemctl", "--user", "daemon-reload"];
  const enable = ["systemctl", "--user", "enable", "--now", "opta-daemon.service"];
  const disable = ["systemctl", "--user", "disable", "--now", "opta-daemon.service"];

  test("writes the unit, and enables and starts it", async () => {
    const { run, calls } = createRun();
    const report = await installLaunchAgent(linuxOptions(run));
    expect(report).toEqual({
      state: "installed",
      path: unitPath(),
      message: `installed ${unitPath()}: the daemon runs now and from every login on`,
      next: undefined,
    });
    expect(calls).toEqual([reload, enable]);
    expect(modeOf(unitPath())).toBe(0o644);
    expect(readdirSync(dirname(unitPath()))).toEqual(["opta-daemon.service"]);
    expect(readFileSync(unitPath(), "utf8")).toContain(
      `\nExecStart="/opt/opta/bin/opta" daemon run\n`,
    );
  });

  test("the unit lies in XDG_CONFIG_HOME where that is set", async () => {
    const environment = createEnvironment({ HOME: at("home"), XDG_CONFIG_HOME: at("xdg") });
    const report = await installLaunchAgent({ ...linuxOptions(createRun().run), environment });
    expect(report.path).toBe(at("xdg/systemd/user/opta-daemon.service"));
    expect(readFileSync(report.path, "utf8")).toContain(
      `\nEnvironment="XDG_CONFIG_HOME=${at("xdg")}"\n`,
    );
  });

  test("a second time changes nothing; a wrong mode is mended", async () => {
    await installLaunchAgent(linuxOptions(createRun().run));
    const before = statSync(unitPath()).ino;
    const report = await installLaunchAgent(linuxOptions(createRun().run));
    expect(report).toMatchObject({ state: "already-installed", next: undefined });
    expect(statSync(unitPath()).ino).toBe(before);
    chmodSync(unitPath(), 0o666);
    await installLaunchAgent(linuxOptions(createRun().run));
    expect(modeOf(unitPath())).toBe(0o644);
  });

  test("other facts are written, and the report says how a running daemon gets them", async () => {
    await installLaunchAgent(linuxOptions(createRun().run));
    const report = await installLaunchAgent({
      ...linuxOptions(createRun().run),
      executable: "/opt/opta-2/bin/opta",
    });
    expect(report).toMatchObject({
      state: "installed",
      next: "systemctl --user restart opta-daemon.service",
    });
    expect(readFileSync(unitPath(), "utf8")).toContain("/opt/opta-2/bin/opta");
  });

  test("where systemctl fails the unit stays, and the report says what to type", async () => {
    const noBus = { exitCode: 1, stderr: "Failed to connect to bus: \u001b[31mNo medium found\n" };
    const first = await installLaunchAgent(linuxOptions(createRun({ "daemon-reload": noBus }).run));
    expect(first).toEqual({
      state: "file-only",
      path: unitPath(),
      message: `wrote ${unitPath()}, but systemctl failed: Failed to connect to bus: No medium found`,
      next: "systemctl --user daemon-reload && systemctl --user enable --now opta-daemon.service",
    });
    expect(existsSync(unitPath())).toBe(true);
    const second = await installLaunchAgent(linuxOptions(createRun({ enable: noBus }).run));
    expect(second.next).toBe("systemctl --user enable --now opta-daemon.service");
  });

  test("without systemctl the daemon is to be started by hand", async () => {
    const run = () => runServiceCommand([at("no-such-program")]);
    expect(await installLaunchAgent(linuxOptions(run))).toMatchObject({
      state: "file-only",
      message: `wrote ${unitPath()}, but systemctl was not found`,
      next: "opta daemon start",
    });
    expect(await uninstallLaunchAgent(linuxOptions(run))).toMatchObject({
      state: "removed",
      message: `removed ${unitPath()}, but systemctl was not found`,
      next: "opta daemon stop",
    });
    expect(existsSync(unitPath())).toBe(false);
  });

  test("uninstalling stops and disables the unit and leaves nothing of it", async () => {
    await installLaunchAgent(linuxOptions(createRun().run));
    const wants = join(dirname(unitPath()), "default.target.wants");
    mkdirSync(wants);
    symlinkSync(unitPath(), join(wants, "opta-daemon.service"));
    const { run, calls } = createRun();
    const report = await uninstallLaunchAgent(linuxOptions(run));
    expect(report).toMatchObject({ state: "removed", message: `removed ${unitPath()}` });
    expect(report.next).toBeUndefined();
    expect(calls).toEqual([disable, reload]);
    expect(readdirSync(wants)).toEqual([]);
    expect(existsSync(unitPath())).toBe(false);
  });

  test("uninstalling what is not installed says so and asks nobody", async () => {
    const { run, calls } = createRun();
    expect(await uninstallLaunchAgent(linuxOptions(run))).toMatchObject({
      state: "not-installed",
      message: `not installed: there is no ${unitPath()}`,
    });
    expect(calls).toEqual([]);
  });
});

describe("what is not installed", () => {
  const refuse = (options: Partial<Parameters<typeof installLaunchAgent>[0]>) => {
    const { run, calls } = createRun();
    const attempt = installLaunchAgent({ ...linuxOptions(run), ...options });
    return attempt.then(
      () => undefined,
      (error: unknown) => {
        expect([calls, existsSync(at("home"))]).toEqual([[], false]);
        return error;
      },
    );
  };

  test("a relative path", async () => {
    expect(await refuse({ executable: "dist/opta" })).toMatchObject({
      code: "usage",
      message: "cannot install dist/opta: the path must be absolute",
    });
  });

  test("the sources: bun is not opta", async () => {
    for (const name of ["bun", "bun.exe", "bun-debug"]) {
      expect(await refuse({ executable: `/usr/local/bin/${name}` })).toMatchObject({
        code: "usage",
        hint: "build opta first: bun run build",
      });
    }
    expect(await refuse({ executable: "/usr/local/bin/bunker" })).toBeUndefined();
  });

  test("a program in a place that the system empties", async () => {
    const translocated = "/private/var/folders/x/AppTranslocation/1/d/opta";
    for (const executable of ["/tmp/opta", translocated]) {
      expect(await refuse({ executable })).toMatchObject({ code: "usage" });
    }
    expect(await refuse({ executable: "/tmpfiles/opta" })).toBeUndefined();
  });

  test("a path with control characters; in PATH such an entry is left out", async () => {
    expect(await refuse({ executable: "/opt/a\nb/opta" })).toMatchObject({ code: "usage" });
    const path = "/bin:/evil\nExecStartPre=/x:/usr/bin";
    const environment = createEnvironment({ HOME: at("home"), PATH: path });
    expect(await refuse({ environment })).toBeUndefined();
    expect(readFileSync(launchAgentPath(linuxOptions(createRun().run)), "utf8")).not.toContain(
      "evil",
    );
  });

  test("anything on a system without a service manager that opta knows", async () => {
    expect(await refuse({ platform: "win32" })).toMatchObject({
      code: "usage",
      message: "opta knows no service manager on win32",
    });
  });
});

test("a command's exit code and errors are told; a missing program is 127", async () => {
  expect(await runServiceCommand(["sh", "-c", "echo no >&2; exit 7"])).toEqual({
    exitCode: 7,
    stderr: "no\n",
  });
  expect(await runServiceCommand([at("missing")])).toEqual({ exitCode: 127, stderr: "" });
});

function modeOf(path: string): number {
  return statSync(path).mode & 0o7777;
}

function putProgram(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text, { mode: 0o755 });
}

/** Time that passes by itself: a pause is over at once. */
const hastyClock: Clock = {
  nowMs: () => 0,
  after(_delayMs, action) {
    queueMicrotask(action);
    return () => undefined;
  },
};

function linuxOptions(run: (argv: readonly string[]) => Promise<ServiceCommandResult>) {
  return {
    platform: "linux",
    executable: "/opt/opta/bin/opta",
    environment: createEnvironment({ HOME: at("home"), PATH: "/usr/bin" }),
    run,
  };
}

function macOptions({ run }: ReturnType<typeof createLaunchd>) {
  return { ...linuxOptions(run), platform: "darwin", clock: hastyClock };
}

/** systemctl that takes everything, but for the verbs that are given an answer. */
function createRun(answers: Readonly<Record<string, ServiceCommandResult>> = {}) {
  const calls: string[][] = [];
  const run = (argv: readonly string[]) => {
    calls.push([...argv]);
    const answer = answers[argv[2] ?? ""];
    return Promise.resolve(answer ?? { exitCode: 0, stderr: "" });
  };
  return { run, calls };
}

/** launchctl over one agent: print and bootout find it or say 113 and 3, bootstrap says 5 while it is loaded or leaving. */
function createLaunchd({ refusalsAfterBootout = 0 } = {}) {
  const calls: string[][] = [];
  let isLoaded = false;
  let refusals = 0;
  const answer = (verb: string | undefined): number => {
    if (verb === "print") return isLoaded ? 0 : 113;
    if (verb === "bootout") {
      if (!isLoaded) return 3;
      isLoaded = false;
      refusals = refusalsAfterBootout;
      return 0;
    }
    if (isLoaded || refusals > 0) {
      refusals -= 1;
      return 5;
    }
    isLoaded = true;
    return 0;
  };
  const run = (argv: readonly string[]) => {
    calls.push([...argv]);
    return Promise.resolve({ exitCode: answer(argv[1]), stderr: "" });
  };
  return { run, calls };
}

/** What verify prints, without the paths' noise; its own runtime directory, because there may be no login session. */
async function verify(path: string) {
  const child = Bun.spawn(["systemd-analyze", "verify", "--user", path], {
    env: { PATH: "/usr/bin:/bin", HOME: place.directory, XDG_RUNTIME_DIR: at("runtime") },
    stdout: "pipe",
    stderr: "pipe",
  });
  const output = `${await child.stdout.text()}${await child.stderr.text()}`;
  return { exitCode: await child.exited, output };
}

/** ExecStart as systemd reads it: the first word as it is, $$ in the others; a shell that passes on is looked through. */
function readCommand(line: string): readonly string[] {
  const [program = "", ...rest] = readWords(line);
  const words = [program, ...rest.map((word) => word.replaceAll("$$", "$"))];
  return program === "/bin/sh" ? words.slice(3) : words;
}

/** systemd.syntax(7), as far as double quotes, C escapes of one character and specifiers go. */
function readWords(line: string): readonly string[] {
  const words = [...line.matchAll(/"((?:[^"\\]|\\.)*)"(?=\s|$)|([^\s"]+)/g)];
  return words.map(([, quoted, bare]) =>
    (quoted ?? bare ?? "").replace(
      /\\(["\\])|%(.)/g,
      (whole, escaped?: string, specifier?: string) => {
        if (escaped !== undefined) return escaped;
        if (specifier === "%") return "%";
        throw new Error(`systemd would expand ${whole}`);
      },
    ),
  );
}
