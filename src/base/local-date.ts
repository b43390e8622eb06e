// The user's today. Asked of SQLite, which is there for the locks: the first local field of a JavaScript Date in a
// process costs 10 ms of CPU (ICU reads its time zones), as much as the rest of a turn's beginning.
import { Database } from "bun:sqlite";

/** YYYY-MM-DD in local time. */
export function localDate(time: Date): string {
  const database = new Database(":memory:");
  try {
    const seconds = Math.floor(time.getTime() / 1000);
    return database
      .query<{ date: string }, [number]>("SELECT date(?, 'unixepoch', 'localtime') AS date")
      .get(seconds)!.date;
  } finally {
    database.close();
  }
}
