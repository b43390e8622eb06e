// Random identifiers: 12 characters of a URL-safe alphabet (72 bits), enough that they never meet.

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-";

/** 12 characters of [A-Za-z0-9_-]; begins with a letter or digit, so that it is never taken for a flag. */
export function createId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  const id = Array.from(bytes, (byte) => alphabet[byte & 63]).join("");
  return /^[_-]/.test(id) ? createId() : id;
}
