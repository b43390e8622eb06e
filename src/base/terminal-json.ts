// JSON text that a terminal cannot mistake for commands. JSON.stringify escapes the old control characters; here
// also those that it lets through: DEL, C1, and what reorders a line. The values stay the same.

/** JSON text with the same value, harmless for a terminal. */
export function escapeForTerminal(json: string): string {
  return json.replace(/[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, escapeCharacter);
}

function escapeCharacter(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
