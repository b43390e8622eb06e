// Signs a 64-bit Mach-O executable ad hoc, as `codesign -s - -i <identifier>` does, without a Mac. Layout:
// xnu osfmk/kern/cs_blobs.h (big-endian) inside mach-o/loader.h (little-endian). Replaces any signature that is there.
// Checked by codesign-verify.ts, which shares no code with this.

const pageSizeBytes = 4096;
const hashSizeBytes = 32;
const magic = {
  superBlob: 0xfade0cc0,
  codeDirectory: 0xfade0c02,
  requirements: 0xfade0c01,
  cms: 0xfade0b01,
};
const slot = { codeDirectory: 0, requirements: 2, cms: 0x10000 };
/** CS_ADHOC alone: no hardened runtime (0x10000), so no entitlements either; not linker-signed (0x20000). */
const adHocFlag = 0x2;
const mainBinaryFlag = 0x1;
/** The version whose header ends with the executable segment (CS_SUPPORTSEXECSEG). */
const codeDirectoryVersion = 0x20400;
const codeDirectoryHeaderBytes = 88;

/** A signed copy of the executable. @throws Error when it is not a 64-bit Mach-O with room for a signature command */
export function signAdHoc(
  executable: Uint8Array<ArrayBuffer>,
  identifier: string,
): Uint8Array<ArrayBuffer> {
  const layout = readLayout(executable);
  const codeLimit = align(layout.signature?.dataOffset ?? executable.length, 16);
  const requirements = blob(magic.requirements, uint32(0));
  const cms = blob(magic.cms, new Uint8Array(0));
  const codeDirectoryBytes =
    codeDirectoryHeaderBytes +
    identifier.length +
    1 +
    slot.requirements * hashSizeBytes +
    Math.ceil(codeLimit / pageSizeBytes) * hashSizeBytes;
  const blobsBytes = codeDirectoryBytes + requirements.length + cms.length;
  const signatureBytes = align(12 + 3 * 8 + blobsBytes, 16);

  const signed = new Uint8Array(codeLimit + signatureBytes);
  signed.set(executable.subarray(0, Math.min(codeLimit, executable.length)));
  // The load commands lie within the hashed pages: they are written first.
  writeCommands(signed, layout, { codeLimit, signatureBytes });
  const codeDirectory = createCodeDirectory(signed, {
    identifier,
    codeLimit,
    requirements,
    layout,
  });
  const entries: readonly Entry[] = [
    { type: slot.codeDirectory, bytes: codeDirectory },
    { type: slot.requirements, bytes: requirements },
    { type: slot.cms, bytes: cms },
  ];
  signed.set(superBlob(entries), codeLimit);
  return signed;
}

interface Layout {
  readonly commandCount: number;
  readonly commandsBytes: number;
  /** Where the first section begins: load commands may grow up to here. */
  readonly firstSectionOffset: number;
  readonly text: { readonly fileOffset: number; readonly fileSize: number };
  readonly linkedit: { readonly commandOffset: number; readonly fileOffset: number };
  readonly signature: { readonly commandOffset: number; readonly dataOffset: number } | undefined;
}

const headerBytes = 32;
const segmentCommand = 0x19;
const signatureCommand = 0x1d;
const signatureCommandBytes = 16;

function readLayout(file: Uint8Array<ArrayBuffer>): Layout {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < headerBytes || view.getUint32(0, true) !== 0xfeedfacf) {
    throw new Error("not a 64-bit Mach-O executable");
  }
  const commandCount = view.getUint32(16, true);
  const commandsBytes = view.getUint32(20, true);
  let firstSectionOffset = Number.POSITIVE_INFINITY;
  let text: Layout["text"] | undefined;
  let linkedit: Layout["linkedit"] | undefined;
  let signature: Layout["signature"];
  let offset = headerBytes;
  for (let index = 0; index < commandCount; index += 1) {
    const command = view.getUint32(offset, true);
    if (command === signatureCommand) {
      signature = { commandOffset: offset, dataOffset: view.getUint32(offset + 8, true) };
    }
    if (command === segmentCommand) {
      const name = cString(file, offset + 8, 16);
      const fileOffset = Number(view.getBigUint64(offset + 40, true));
      const fileSize = Number(view.getBigUint64(offset + 48, true));
      if (name === "__TEXT") text = { fileOffset, fileSize };
      if (name === "__LINKEDIT") linkedit = { commandOffset: offset, fileOffset };
      for (let section = 0; section < view.getUint32(offset + 64, true); section += 1) {
        const sectionOffset = view.getUint32(offset + 72 + section * 80 + 48, true);
        if (sectionOffset > 0) firstSectionOffset = Math.min(firstSectionOffset, sectionOffset);
      }
    }
    offset += view.getUint32(offset + 4, true);
  }
  if (text === undefined || linkedit === undefined)
    throw new Error("no __TEXT or no __LINKEDIT segment");
  return { commandCount, commandsBytes, firstSectionOffset, text, linkedit, signature };
}

function writeCommands(
  file: Uint8Array<ArrayBuffer>,
  layout: Layout,
  { codeLimit, signatureBytes }: { readonly codeLimit: number; readonly signatureBytes: number },
): void {
  const view = new DataView(file.buffer);
  const commandsEnd = headerBytes + layout.commandsBytes;
  const commandOffset = layout.signature?.commandOffset ?? commandsEnd;
  if (layout.signature === undefined) {
    if (commandsEnd + signatureCommandBytes > layout.firstSectionOffset) {
      throw new Error("no room for a signature load command");
    }
    view.setUint32(16, layout.commandCount + 1, true);
    view.setUint32(20, layout.commandsBytes + signatureCommandBytes, true);
  }
  view.setUint32(commandOffset, signatureCommand, true);
  view.setUint32(commandOffset + 4, signatureCommandBytes, true);
  view.setUint32(commandOffset + 8, codeLimit, true);
  view.setUint32(commandOffset + 12, signatureBytes, true);
  // __LINKEDIT is the last segment and ends with the signature; 16 KB pages serve both architectures.
  const linkeditBytes = codeLimit + signatureBytes - layout.linkedit.fileOffset;
  view.setBigUint64(layout.linkedit.commandOffset + 32, BigInt(align(linkeditBytes, 0x4000)), true);
  view.setBigUint64(layout.linkedit.commandOffset + 48, BigInt(linkeditBytes), true);
}

interface CodeDirectoryFacts {
  readonly identifier: string;
  readonly codeLimit: number;
  readonly requirements: Uint8Array;
  readonly layout: Layout;
}

function createCodeDirectory(file: Uint8Array, facts: CodeDirectoryFacts): Uint8Array {
  const { identifier, codeLimit, requirements, layout } = facts;
  const pages = Math.ceil(codeLimit / pageSizeBytes);
  const hashOffset =
    codeDirectoryHeaderBytes + identifier.length + 1 + slot.requirements * hashSizeBytes;
  const bytes = new Uint8Array(hashOffset + pages * hashSizeBytes);
  const view = new DataView(bytes.buffer);
  const words = [
    magic.codeDirectory,
    bytes.length,
    codeDirectoryVersion,
    adHocFlag,
    hashOffset,
    codeDirectoryHeaderBytes,
    slot.requirements,
    pages,
    codeLimit,
  ];
  words.forEach((word, index) => view.setUint32(index * 4, word));
  // hash size, hash type 2 (SHA-256), platform 0, log2 of the page size; then scatter, team and 64-bit limit: none.
  bytes.set([hashSizeBytes, 2, 0, Math.log2(pageSizeBytes)], 36);
  view.setBigUint64(64, BigInt(layout.text.fileOffset));
  view.setBigUint64(72, BigInt(layout.text.fileSize));
  view.setBigUint64(80, BigInt(mainBinaryFlag));
  bytes.set(new TextEncoder().encode(identifier), codeDirectoryHeaderBytes);
  // Special slots count backwards from the pages: -2 requirements, -1 Info.plist, which a bare executable lacks.
  bytes.set(sha256(requirements), hashOffset - slot.requirements * hashSizeBytes);
  for (let page = 0; page < pages; page += 1) {
    const start = page * pageSizeBytes;
    const end = Math.min(start + pageSizeBytes, codeLimit);
    bytes.set(sha256(file.subarray(start, end)), hashOffset + page * hashSizeBytes);
  }
  return bytes;
}

interface Entry {
  readonly type: number;
  readonly bytes: Uint8Array;
}

function superBlob(entries: readonly Entry[]): Uint8Array {
  let offset = 12 + entries.length * 8;
  const index = [uint32(entries.length)];
  for (const { type, bytes } of entries) {
    index.push(uint32(type), uint32(offset));
    offset += bytes.length;
  }
  return blob(magic.superBlob, Buffer.concat([...index, ...entries.map(({ bytes }) => bytes)]));
}

function blob(magicWord: number, content: Uint8Array): Uint8Array {
  return Buffer.concat([uint32(magicWord), uint32(8 + content.length), content]);
}

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(bytes).digest();
}

function cString(bytes: Uint8Array, start: number, maxBytes: number): string {
  const text = new TextDecoder().decode(bytes.subarray(start, start + maxBytes));
  return text.split("\0", 1)[0] ?? "";
}

function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
