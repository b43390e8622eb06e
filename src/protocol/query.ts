// Parameters of GET and DELETE requests travel as text in the URL; the operations' schemas read numbers and truth
// values from it.

/** The last of repeated names counts. */
export function fromQuery(query: URLSearchParams): Record<string, unknown> {
  return Object.fromEntries(query);
}

/** What is undefined is left out. */
export function toQuery(params: Readonly<Record<string, unknown>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined) query.set(name, String(value));
  }
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}
