// The Mac signature on a small synthetic executable: what the signer writes, the independent checker accepts, and a
// flipped byte in any page, in the load commands or in the signature itself is found.
import { describe, expect, test } from "bun:test";
import { signAdHoc } from "../../scripts/codesign.ts";
import { verifySignature } from "../../scripts/codesign-verify.ts";

const identifier = "app.opta.cli";
const pageBytes = 4096;
const pages = 12;

/** __PAGEZERO, __TEXT with one section and __LINKEDIT, 48 KB in all; arm64 pages. */
function createMachO(options: { readonly roomForCommand?: boolean } = {}): Uint8Array<ArrayBuffer> {
  const file = new Uint8Array(pages * pageBytes - 5);
  crypto.getRandomValues(file);
  const view = new DataView(file.buffer);
  const commandsBytes = 72 + 152 + 72;
  const header = [0xfeedfacf, 0x0100000c, 0, 2, 3, commandsBytes, 0, 0];
  header.forEach((word, index) => view.setUint32(index * 4, word, true));
  let at = 32;
  const segment = (name: string, sizes: readonly number[], sections: number) => {
    file.fill(0, at, at + 72 + sections * 80);
    view.setUint32(at, 0x19, true);
    view.setUint32(at + 4, 72 + sections * 80, true);
    file.set(new TextEncoder().encode(name), at + 8);
    sizes.forEach((size, index) => view.setBigUint64(at + 24 + index * 8, BigInt(size), true));
    view.setUint32(at + 64, sections, true);
    at += 72 + sections * 80;
  };
  segment("__PAGEZERO", [0, 0x100000000, 0, 0], 0);
  segment("__TEXT", [0x100000000, 0x8000, 0, 0x8000], 1);
  const firstSection = options.roomForCommand === false ? 32 + commandsBytes : 0x1000;
  view.setUint32(32 + 72 + 72 + 48, firstSection, true);
  segment("__LINKEDIT", [0x100008000, 0x4000, 0x8000, file.length - 0x8000], 0);
  return file;
}

describe("an ad-hoc signature", () => {
  test("passes the independent check, and signing again changes nothing", () => {
    const signed = signAdHoc(createMachO(), identifier);
    expect(verifySignature(signed, identifier)).toEqual([]);
    expect(signAdHoc(signed, identifier)).toEqual(signed);
  });
  test("replaces another one", () => {
    const signed = signAdHoc(signAdHoc(createMachO(), "a.out.with.a.longer.name"), identifier);
    expect(verifySignature(signed, identifier)).toEqual([]);
  });
  test("names its identifier", () => {
    const signed = signAdHoc(createMachO(), "a.out");
    expect(verifySignature(signed, identifier)).toEqual([
      "identifier a.out, expected app.opta.cli",
    ]);
  });
  test("is refused when there is no room for its load command", () => {
    expect(() => signAdHoc(createMachO({ roomForCommand: false }), identifier)).toThrow("no room");
  });
  test("is refused for anything but a 64-bit Mach-O", () => {
    expect(() => signAdHoc(new Uint8Array(64), identifier)).toThrow("not a 64-bit Mach-O");
  });
});

describe("the check finds", () => {
  const signed = signAdHoc(createMachO(), identifier);
  const problemsAfter = (change: (file: Uint8Array<ArrayBuffer>) => Uint8Array) =>
    verifySignature(change(signed.slice()), identifier);

  test("a flipped byte in every page, by its number", () => {
    for (let page = 1; page < pages; page += 1) {
      const problems = problemsAfter((file) => flip(file, page * pageBytes + 17));
      expect(problems).toEqual([`wrong hash of page ${page}`]);
    }
  });
  test("a flipped bit in any byte of the header and the load commands", () => {
    for (let at = 0; at < 32 + 72 + 152 + 72 + 16; at += 1) {
      expect(problemsAfter((file) => flip(file, at))).not.toEqual([]);
    }
  });
  test("a flipped bit in any byte of the signature", () => {
    for (let at = pages * pageBytes; at < signed.length; at += 1) {
      expect(problemsAfter((file) => flip(file, at))).not.toEqual([]);
    }
  });
  test("a file cut anywhere", () => {
    for (let length = 0; length < signed.length; length += 1111) {
      expect(problemsAfter((file) => file.slice(0, length))).not.toEqual([]);
    }
  });
  test("bytes behind the signature", () => {
    expect(problemsAfter((file) => Buffer.concat([file, new Uint8Array(16)]))).not.toEqual([]);
  });
  test("an executable that was never signed", () => {
    expect(verifySignature(createMachO(), identifier)).toContain("0 LC_CODE_SIGNATURE commands");
  });
});

function flip(file: Uint8Array<ArrayBuffer>, at: number): Uint8Array<ArrayBuffer> {
  file[at] = (file[at] ?? 0) ^ 1;
  return file;
}
