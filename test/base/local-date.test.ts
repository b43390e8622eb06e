// Today where the user is, whatever the time zone says, without what a Date's local fields cost.
import { expect, test } from "bun:test";
import { join } from "node:path";

const source = join(import.meta.dir, "../../src/base/local-date.ts");
/** Around midnight somewhere, a leap day, both ends of daylight saving time. */
const times = [
  "2026-11-28T23:59:59.999Z",
  "2026-11-29T00:00:00Z",
  "2028-02-29T10:30:00Z",
  "2026-03-29T00:59:59Z",
  "2026-10-25T23:30:00Z",
  "2026-07-01T13:45:00Z",
  "2037-01-01T00:00:00Z",
];

for (const zone of ["UTC", "Pacific/Kiritimati", "America/Los_Angeles", "Europe/Berlin"]) {
  test(`the date in ${zone} is the one that a Date shows there`, async () => {
    const program = `
      import { localDate } from ${JSON.stringify(source)};
      const two = (part) => String(part).padStart(2, "0");
      const shown = (time) => time.getFullYear() + "-" + two(time.getMonth() + 1) + "-" + two(time.getDate());
      const times = ${JSON.stringify(times)}.map((text) => new Date(text));
      console.log(JSON.stringify([times.map(localDate), times.map(shown)]));
    `;
    const child = Bun.spawn([process.execPath, "-e", program], {
      env: { PATH: process.env["PATH"] ?? "", TZ: zone },
      stdout: "pipe",
    });
    const [dates, expected] = JSON.parse(await child.stdout.text()) as [string[], string[]];
    expect(dates).toEqual(expected);
    expect(dates.length).toBe(times.length);
  });
}
