import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { capText, createOutputCollector, outputLimits } from "../../src/tools/output-cap.ts";
import { spillLimitBytes } from "../../src/tools/output-spill.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "opta-output-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const place = () => ({
  context: { outputDirectory: join(directory, "output"), callId: "call_1" },
  name: "command",
});
const collect = async (...chunks: (string | Uint8Array)[]) => {
  const collector = createOutputCollector(place());
  for (const chunk of chunks)
    collector.write(typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk);
  return collector.finish();
};
const lines = (count: number) =>
  Array.from({ length: count }, (_, i) => `line ${i + 1}\n`).join("");
const spilled = (text: string) => /all of it is in (\S+)/.exec(text)?.[1] ?? "";
const byteLength = (text: string) => Buffer.byteLength(text);

describe("capText", () => {
  test("leaves a text that fits as it is and makes no file", async () => {
    const text = "a\tb\r\n\u001b[31mred";
    expect(await capText(text, place())).toBe(text);
    expect(existsSync(join(directory, "output"))).toBe(false);
  });

  test("keeps head and tail of too many lines, within both limits, and says where the rest is", async () => {
    const text = lines(10_000);
    const capped = await capText(text, place());
    expect(capped).toStartWith("line 1\nline 2\n");
    expect(capped).toEndWith("line 9999\nline 10000\n");
    expect(capped.split("\n").length - 1).toBeLessThanOrEqual(outputLimits.lines);
    expect(byteLength(capped)).toBeLessThanOrEqual(outputLimits.bytes);
    expect(readFileSync(spilled(capped), "utf8")).toBe(text);
  });

  test("the offset in the note is the first line that is missing", async () => {
    const capped = await capText(lines(10_000), place());
    const offset = Number(/read_file with offset (\d+)/.exec(capped)?.[1]);
    expect(capped).toContain(`\nline ${offset - 1}\n[output cut`);
    expect(capped).not.toContain(`\nline ${offset}\n`);
  });

  test("cuts one endless line between characters", async () => {
    const capped = await capText("日本語".repeat(40_000), place());
    expect(byteLength(capped)).toBeLessThanOrEqual(outputLimits.bytes);
    expect(capped).not.toContain("\uFFFD");
    expect(capped).toStartWith("日本語日本語");
    expect(capped).toEndWith("日本語");
  });

  test("a short line before a giant one does not hide the giant one", async () => {
    const capped = await capText(`first\n${"x".repeat(200_000)}\nlast\n`, place());
    expect(capped).toMatch(/^first\nx{10000}/);
    expect(capped).toMatch(/x{10000}\nlast\n$/);
  });

  test("a call id from the model server cannot choose the path", async () => {
    const context = { outputDirectory: join(directory, "output"), callId: "../../../evil/x" };
    const capped = await capText(lines(5_000), { context, name: "command" });
    expect(spilled(capped)).toStartWith(`${directory}/output/evilx-command-`);
  });

  test("says that the rest is lost when the file cannot be made", async () => {
    const context = { outputDirectory: "/dev/null/x", callId: "c" };
    const capped = await capText(lines(5_000), { context, name: "command" });
    expect(capped).toContain("the rest is lost");
    expect(capped).toContain("ENOTDIR");
  });
});

describe("the output collector", () => {
  test("returns short output as it is and makes no file", async () => {
    expect(await collect("hello\n", "world\n")).toEqual({
      text: "hello\nworld\n",
      totalBytes: 12,
      path: undefined,
    });
    expect(existsSync(join(directory, "output"))).toBe(false);
  });

  test("joins a character that was split between chunks", async () => {
    const bytes = new TextEncoder().encode("a€😀b");
    const single = Array.from(bytes, (byte) => Uint8Array.of(byte));
    expect((await collect(...single)).text).toBe("a€😀b");
  });

  test("shows invalid bytes as U+FFFD but keeps them in the file", async () => {
    const raw = Buffer.concat([Buffer.from([0x61, 0xff, 0xfe, 0x0a]), Buffer.from(lines(5_000))]);
    const { text, path } = await collect(raw);
    expect(text).toStartWith("a\uFFFD\uFFFD\nline 1\n");
    expect(readFileSync(path ?? "").equals(raw)).toBe(true);
  });

  test("removes escape sequences and keeps the last state of a progress bar", async () => {
    const { text } = await collect(
      "\u001b]0;title\u0007\u001b[1;32mok\u001b[0m\r\n",
      "10%\r50%\r\u001b[K100%\n",
      "|\b/\b-\bdone\n",
    );
    expect(text).toBe("ok\n100%\ndone\n");
  });

  test("output that only colours make long is shown whole, without a file", async () => {
    const { text, path } = await collect("\u001b[38;5;196mx\u001b[0m".repeat(15_000));
    expect(text).toBe("x".repeat(15_000));
    expect(path).toBeUndefined();
  });

  test("keeps head and tail of a long output and all of it, unchanged, in a private file", async () => {
    const chunk = Buffer.from(lines(1_000));
    const { text, totalBytes, path } = await collect(...Array.from({ length: 200 }, () => chunk));
    expect(totalBytes).toBe(200 * chunk.length);
    expect(text).toStartWith("line 1\nline 2\n");
    expect(text).toEndWith("line 1000\n");
    expect(byteLength(text)).toBeLessThanOrEqual(outputLimits.bytes);
    expect(path).toBe(spilled(text));
    const kept = readFileSync(path ?? "");
    expect(kept.equals(Buffer.concat(Array.from({ length: 200 }, () => chunk)))).toBe(true);
    expect(statSync(path ?? "").mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, "output")).mode & 0o777).toBe(0o700);
  });

  test("cut lines stay whole characters when chunks are odd", async () => {
    const bytes = Buffer.from("é€😀\n".repeat(100_000));
    const chunks = [];
    for (let at = 0; at < bytes.length; at += 997) chunks.push(bytes.subarray(at, at + 997));
    const { text } = await collect(...chunks);
    expect(text).not.toContain("\uFFFD");
    expect(text.split("\n").filter((line) => line !== "é€😀" && line !== "")).toHaveLength(1);
  });

  test("the file is bounded and the text says so", async () => {
    const megabyte = Buffer.alloc(1024 * 1024, "y\n");
    const { text, path } = await collect(...Array.from({ length: 70 }, () => megabyte));
    expect(statSync(path ?? "").size).toBe(spillLimitBytes);
    expect(text).toContain("70.0 MB in all");
    expect(text).toContain("only its first 64.0 MB were kept");
  });

  test("two long outputs of one call get two files", async () => {
    await collect(lines(5_000));
    await collect(lines(5_000));
    expect(readdirSync(join(directory, "output"))).toHaveLength(2);
  });
});
