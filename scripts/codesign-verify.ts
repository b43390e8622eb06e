// Checks an ad-hoc signed Mach-O executable as a kernel and codesign would: every page hash, the identifier, the layout
// of the signature and of the segments around it. Written from xnu's cs_blobs.h alone and shares no code (nor hash
// function) with codesign.ts, so that one cannot repeat the other's mistake.
import { createHash } from "node:crypto";

/** Everything that is wrong, in words; empty when the signature holds. */
export function verifySignature(file: Uint8Array, identifier: string): readonly string[] {
  const problems: string[] = [];
  const check = (holds: boolean, problem: string) => {
    if (!holds) problems.push(problem);
  };
  try {
    const image = parseImage(Buffer.from(file.buffer, file.byteOffset, file.byteLength));
    checkImage(image, check);
    const directory = checkSuperBlob(image, check);
    if (directory !== undefined) checkDirectory(image, { directory, identifier }, check);
  } catch (thrown) {
    // A read out of bounds: the file is cut or its tables point nowhere.
    problems.push(`unreadable: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  }
  return problems;
}

type Check = (holds: boolean, problem: string) => void;

interface Segment {
  readonly name: string;
  readonly vmAddress: number;
  readonly vmSize: number;
  readonly fileOffset: number;
  readonly fileSize: number;
}

interface Image {
  readonly bytes: Buffer;
  readonly cpu: number;
  readonly fileType: number;
  readonly segments: readonly Segment[];
  /** LC_CODE_SIGNATURE commands: where each says the signature lies. */
  readonly signatures: readonly { readonly offset: number; readonly size: number }[];
  readonly commandsFit: boolean;
}

const cpuArm64 = 0x0100000c;

function parseImage(bytes: Buffer): Image {
  if (bytes.readUInt32LE(0) !== 0xfeedfacf) throw new Error("not a thin 64-bit Mach-O");
  const commandsEnd = 32 + bytes.readUInt32LE(20);
  const segments: Segment[] = [];
  const signatures: { offset: number; size: number }[] = [];
  let at = 32;
  for (let left = bytes.readUInt32LE(16); left > 0; left--) {
    const kind = bytes.readUInt32LE(at);
    const size = bytes.readUInt32LE(at + 4);
    if (size < 8 || size % 8 !== 0) throw new Error(`load command at ${at} has size ${size}`);
    if (kind === 0x19) {
      const [vmAddress = 0, vmSize = 0, fileOffset = 0, fileSize = 0] = [24, 32, 40, 48].map(
        (field) => Number(bytes.readBigUInt64LE(at + field)),
      );
      const name = bytes.toString("latin1", at + 8, at + 24).replace(/\0.*$/s, "");
      segments.push({ name, vmAddress, vmSize, fileOffset, fileSize });
    }
    if (kind === 0x1d) {
      signatures.push({ offset: bytes.readUInt32LE(at + 8), size: bytes.readUInt32LE(at + 12) });
    }
    at += size;
  }
  return {
    bytes,
    cpu: bytes.readUInt32LE(4),
    fileType: bytes.readUInt32LE(12),
    segments,
    signatures,
    commandsFit: at === commandsEnd,
  };
}

function checkImage(
  { bytes, cpu, fileType, segments, signatures, commandsFit }: Image,
  check: Check,
): void {
  check(cpu === cpuArm64 || cpu === 0x01000007, `unknown cpu ${cpu.toString(16)}`);
  check(fileType === 2, `file type ${fileType} is not an executable`);
  check(commandsFit, "the load commands do not fill their declared size");
  check(signatures.length === 1, `${signatures.length} LC_CODE_SIGNATURE commands`);
  const [signature] = signatures;
  if (signature !== undefined) {
    check(signature.offset % 16 === 0, "the signature is not 16-byte aligned");
    check(
      signature.offset + signature.size === bytes.length,
      "the signature does not end the file",
    );
  }
  const pageBytes = cpu === cpuArm64 ? 0x4000 : 0x1000;
  for (const { name, vmAddress, vmSize, fileOffset, fileSize } of segments) {
    check(vmAddress % pageBytes === 0, `${name}: address is not page aligned`);
    check(vmSize % pageBytes === 0, `${name}: size in memory is not page aligned`);
    check(
      fileSize === 0 || fileOffset % pageBytes === 0,
      `${name}: file offset is not page aligned`,
    );
    check(fileSize <= vmSize, `${name}: larger in the file than in memory`);
    check(fileOffset + fileSize <= bytes.length, `${name}: ends behind the file`);
  }
  checkOverlap(segments, check);
  const last = segments.at(-1);
  check(last?.name === "__LINKEDIT", "__LINKEDIT is not the last segment");
  if (last !== undefined) {
    check(last.fileOffset + last.fileSize === bytes.length, "__LINKEDIT does not end the file");
  }
}

function checkOverlap(segments: readonly Segment[], check: Check): void {
  segments.forEach((segment, index) => {
    const next = segments[index + 1];
    if (next === undefined) return;
    check(
      segment.vmAddress + segment.vmSize <= next.vmAddress,
      `${segment.name} overlaps ${next.name} in memory`,
    );
    if (segment.fileSize > 0 && next.fileSize > 0) {
      check(
        segment.fileOffset + segment.fileSize <= next.fileOffset,
        `${segment.name} overlaps ${next.name}`,
      );
    }
  });
}

interface Directory {
  readonly bytes: Buffer;
  readonly requirements: Buffer | undefined;
}

/** The blobs lie one behind the other, inside the space the load command gives them. */
function checkSuperBlob({ bytes, signatures }: Image, check: Check): Directory | undefined {
  const [signature] = signatures;
  if (signature === undefined) return undefined;
  const blob = bytes.subarray(signature.offset, signature.offset + signature.size);
  check(blob.readUInt32BE(0) === 0xfade0cc0, "no embedded signature superblob");
  const length = blob.readUInt32BE(4);
  check(length <= blob.length, "the superblob is longer than its load command says");
  check(blob.length - length < 16, "more than padding behind the superblob");
  check(
    blob.subarray(length).every((byte) => byte === 0),
    "the padding is not zero",
  );
  const count = blob.readUInt32BE(8);
  check(count === 3, `${count} blobs, expected code directory, requirements and CMS`);
  if (count !== 3) return undefined;
  const found = new Map<number, Buffer>();
  let expectedOffset = 12 + count * 8;
  for (let index = 0; index < count; index++) {
    const slot = blob.readUInt32BE(12 + index * 8);
    const offset = blob.readUInt32BE(16 + index * 8);
    check(offset === expectedOffset, `blob ${slot.toString(16)} does not follow the one before it`);
    const size = blob.readUInt32BE(offset + 4);
    check(offset + size <= length, `blob ${slot.toString(16)} leaves the superblob`);
    check(!found.has(slot), `two blobs in slot ${slot.toString(16)}`);
    found.set(slot, blob.subarray(offset, offset + size));
    expectedOffset = offset + size;
  }
  check(expectedOffset === length, "the blobs do not fill the superblob");
  check(
    found.get(0x10000)?.toString("hex") === "fade0b0100000008",
    "the CMS blob of an ad-hoc signature is empty",
  );
  const directory = found.get(0);
  check(directory?.readUInt32BE(0) === 0xfade0c02, "no code directory");
  return directory && { bytes: directory, requirements: found.get(2) };
}

interface Expected {
  readonly directory: Directory;
  readonly identifier: string;
}

function checkDirectory(
  { bytes, segments, signatures }: Image,
  expected: Expected,
  check: Check,
): void {
  const { bytes: directory, requirements } = expected.directory;
  const at = (field: number) => directory.readUInt32BE(field);
  check(at(8) === 0x20400, `code directory version ${at(8).toString(16)}`);
  check(at(12) === 0x2, `flags ${at(12).toString(16)}, expected ad hoc only`);
  check(directory[36] === 32 && directory[37] === 2, "the hashes are not SHA-256");
  check(directory[38] === 0, "marked as a platform binary");
  const [hashes, name, specials, pages, limit] = [at(16), at(20), at(24), at(28), at(32)];
  const nameEnd = directory.indexOf(0, name);
  const found = directory.toString("utf8", name, nameEnd);
  check(found === expected.identifier, `identifier ${found}, expected ${expected.identifier}`);
  check(nameEnd < hashes - specials * 32, "the identifier runs into the hashes");
  check(
    at(40) === 0 && at(44) === 0 && at(48) === 0 && at(52) === 0,
    "scatter, team or spare fields are set",
  );
  check(directory.readBigUInt64BE(56) === 0n, "a 64-bit code limit is set");
  check(limit === signatures[0]?.offset, "the code limit is not where the signature begins");

  const text = segments.find((segment) => segment.name === "__TEXT");
  check(
    directory.readBigUInt64BE(64) === BigInt(text?.fileOffset ?? -1),
    "the executable segment is not __TEXT",
  );
  check(
    directory.readBigUInt64BE(72) === BigInt(text?.fileSize ?? -1),
    "the executable segment has another size",
  );
  check(directory.readBigUInt64BE(80) === 1n, "not marked as the main binary");

  const pageBytes = 2 ** (directory[39] ?? 0);
  check(pageBytes === 4096, `pages of ${pageBytes} bytes`);
  check(pages === Math.ceil(limit / pageBytes), `${pages} page hashes for ${limit} bytes`);
  check(hashes + pages * 32 === directory.length, "the hashes do not end the code directory");
  // A count that does not fit the file bounds no loop.
  if (pageBytes !== 4096 || pages !== Math.ceil(limit / pageBytes)) return;
  if (hashes + pages * 32 !== directory.length || limit > bytes.length) return;
  const hashAt = (slot: number) => directory.subarray(hashes + slot * 32, hashes + (slot + 1) * 32);
  check(specials === 2, `${specials} special slots`);
  check(
    hashAt(-1).every((byte) => byte === 0),
    "an Info.plist is bound to a bare executable",
  );
  check(
    requirements?.toString("hex") === "fade0c010000000c00000000",
    "the requirements are not empty",
  );
  check(
    requirements !== undefined && hashAt(-2).equals(sha256(requirements)),
    "wrong hash of the requirements",
  );
  for (let page = 0; page < pages; page++) {
    const content = bytes.subarray(page * pageBytes, Math.min((page + 1) * pageBytes, limit));
    check(hashAt(page).equals(sha256(content)), `wrong hash of page ${page}`);
  }
}

function sha256(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}
