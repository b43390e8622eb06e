// Ctrl+C and its kin, for a command that has something to end or to say before it stops.

/** Ctrl+C, a closed terminal and `kill` all cancel the turn, which then ends in its own order. */
export function onInterrupt(cancel: () => void): () => void {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, cancel);
  return () => {
    for (const signal of signals) process.off(signal, cancel);
  };
}
