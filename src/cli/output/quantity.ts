// Amounts as a person reads them. JSON output carries the plain numbers instead.

/** 17179869184 -> "16.0 GiB"; unknown is a dash. */
export function formatBytes(bytes: number | null): string {
  if (bytes === null) return "-";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let amount = bytes;
  let unit = 0;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? amount : amount.toFixed(1)} ${units[unit]}`;
}

/** 262144 -> "262,144"; unknown is a dash. */
export function formatCount(count: number | null): string {
  return count === null ? "-" : count.toLocaleString("en-US");
}

/** Whole seconds up to two minutes, then minutes too: "42 s", "3 min 5 s". */
export function formatSeconds(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 120) return `${seconds} s`;
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
