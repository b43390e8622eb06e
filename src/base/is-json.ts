// Whether a text is whole JSON: what a model wrote may be cut anywhere.

export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
