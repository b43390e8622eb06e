// The executable alone in an empty directory with an empty HOME: what needs no model.
import { describe, expect, test } from "bun:test";
import packageJson from "../../package.json";
import { opta } from "../support/binary.ts";

describe("the executable", () => {
  test("tells its version three ways, as package.json has it", async () => {
    for (const word of ["--version", "-v", "version"]) {
      expect(await opta([word])).toMatchObject({
        exitCode: 0,
        stdout: `opta ${packageJson.version}\n`,
        stderr: "",
      });
    }
  });

  test("prints every help page on stdout and nothing on stderr", async () => {
    const topics = [
      "do",
      "demo",
      "status",
      "models",
      "sessions",
      "config",
      "permissions",
      "completions",
    ];
    for (const topic of topics) {
      const page = await opta(["help", topic]);
      expect(page).toMatchObject({ exitCode: 0, stderr: "" });
      expect(page.stdout).toStartWith(`opta ${topic} - `);
    }
  });

  test("refuses a mistyped command and flag with exit code 2 and no stack trace", async () => {
    expect(await opta(["stauts"])).toMatchObject({
      exitCode: 2,
      stdout: "",
      stderr: 'opta: no command "stauts"; did you mean status?\n  opta status\n',
    });
    expect(await opta(["do", "--mdoe", "plan", "x"])).toMatchObject({
      exitCode: 2,
      stderr: "opta: opta do has no flag --mdoe; did you mean --mode?\n  opta help do\n",
    });
  });

  test("prints a completion script that bash accepts", async () => {
    const { stdout } = await opta(["completions", "bash"]);
    const checked = Bun.spawnSync(["bash", "-n"], { stdin: Buffer.from(stdout) });
    expect({ code: checked.exitCode, lines: stdout.split("\n").length > 30 }).toEqual({
      code: 0,
      lines: true,
    });
  });

  test("exits quietly when the reader of its output leaves", async () => {
    const run = await opta([], {
      prefix: ["bash", "-c", '"$0" help | true; echo "${PIPESTATUS[0]}"'],
    });
    expect(run).toMatchObject({ stdout: "0\n", stderr: "" });
  });
});
