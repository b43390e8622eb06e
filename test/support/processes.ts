// Which processes carry a marker in their arguments: what a test asks to prove that nothing is left running.

/** Command lines, of all running processes, that contain `text`; the marker should be unique to the test. */
export async function runningWith(text: string): Promise<readonly string[]> {
  const ps = Bun.spawn(["ps", "-axww", "-o", "stat=,args="], { stdout: "pipe" });
  const rows = (await ps.stdout.text()).split("\n");
  return rows.filter((line) => line.includes(text) && !line.startsWith("Z"));
}

/** A number of seconds for `sleep` that no other test uses, so that its process can be told apart. */
export function uniqueSleep(): string {
  return `9${crypto.getRandomValues(new Uint32Array(1))[0]}`;
}
