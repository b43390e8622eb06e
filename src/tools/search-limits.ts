// Bounds of a search, the same whoever does it.

/** Of a longer line (minified code) only the beginning is shown. ripgrep counts bytes, we characters. */
export const lineShownChars = 400;

/** More matches than this help nobody; the pattern wants narrowing. */
export const matchLimit = 10_000;

/** Listed files; beyond, the order would depend on who came first. */
export const fileLimit = 100_000;

/** Our own search reads a file whole; a larger one is data rather than text. */
export const searchedFileBytes = 32 * 1024 * 1024;
