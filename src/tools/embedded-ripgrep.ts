// The ripgrep that the executable carries. Undefined when running from source; the build replaces this module
// by one that imports the target's binary as a file and names its hash (scripts/embed-ripgrep.ts).

export interface EmbeddedProgram {
  /** Inside the executable: readable by Bun.file, not executable by the system. */
  readonly path: string;
  readonly sha256: string;
}

export const embeddedRipgrep: EmbeddedProgram | undefined = undefined;
