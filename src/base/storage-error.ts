// A failed write to disk, said in words a person can act on. It carries the codes of the product's error table
// without importing it (base knows no opta nouns): protocol/error.ts takes over what has such a code.

export type StorageErrorCode = "storage-full" | "storage-failed";

export class StorageError extends Error {
  override readonly name = "StorageError";
  constructor(
    readonly code: StorageErrorCode,
    message: string,
    /** What to type next. */
    readonly hint?: string,
  ) {
    super(message);
  }
}

/**
 * A system call's failure as a StorageError; `doing` is what was attempted, with its path, as in
 * "write /a/b.ts". Anything else thrown (a caller's check) comes back as it is.
 */
export function toStorageError(thrown: unknown, doing: string): unknown {
  const errno = errnoOf(thrown);
  if (errno === undefined) return thrown;
  const reason = reasons[errno];
  if (errno === "ENOSPC" || errno === "EDQUOT") {
    return new StorageError(
      "storage-full",
      `cannot ${doing}: ${reason}`,
      "free some space (df -h shows where), then try again",
    );
  }
  return new StorageError("storage-failed", `cannot ${doing}: ${reason ?? String(thrown)}`);
}

/** The errno name of a failed system call: "ENOENT"; undefined for every other value. */
export function errnoOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !("code" in thrown)) return undefined;
  return typeof thrown.code === "string" && /^E[A-Z0-9]+$/.test(thrown.code)
    ? thrown.code
    : undefined;
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EIO: "the disk reported an input/output error",
  EROFS: "the file system is read-only",
  EACCES: "permission denied",
  EPERM: "not permitted",
  ENOENT: "the directory does not exist",
  ENOTDIR: "a part of the path is not a directory",
  EISDIR: "it is a directory",
  ENAMETOOLONG: "the name is too long",
  ELOOP: "too many symbolic links",
};
