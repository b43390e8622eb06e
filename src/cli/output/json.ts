// JSON documents for stdout: indented, one per command. JSON.stringify escapes the old control characters;
// here also those that it lets through and a terminal may obey. The values stay the same.

/** The document's text, ended by a line feed. */
export function toJsonText(document: unknown): string {
  return `${escapeForTerminal(JSON.stringify(document, null, 2))}\n`;
}

/** JSON text with the same value, harmless for a terminal. */
export function escapeForTerminal(json: string): string {
  return json.replace(/[\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, escapeCharacter);
}

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
