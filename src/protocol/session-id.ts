// What a session's id may be. Free of schemas: an attached client checks it before it stands in a path.

/** Session ids become file names: this charset and nothing else (contracts/daemon-v3.md section 2). */
export const sessionIdPattern = /^[A-Za-z0-9_-]{1,64}$/;
export const sessionIdRule = "a session id has 1 to 64 of A-Z a-z 0-9 _ -";
