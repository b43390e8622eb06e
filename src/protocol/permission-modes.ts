// What may happen without asking, by one word each. Free of schemas, as commands offer them before anything is loaded.
export const permissionModes = ["safe", "auto", "plan", "review", "dangerous"] as const;
