// `opta daemon events`: a session's events as the daemon stored them, one envelope per line.
import { escapeForTerminal } from "../../base/terminal-json.ts";
import { OptaError } from "../../protocol/error.ts";
import { defineCommand } from "../command.ts";
import { onInterrupt } from "../interrupt.ts";

export const events = defineCommand({
  name: "events",
  summary: "print a session's events as JSON lines",
  args: {
    follow: { type: "boolean", alias: "f", description: "go on with what happens, until Ctrl+C" },
    after: {
      type: "integer",
      valueHint: "N",
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      default: 0,
      description: "only events with a seq above N",
    },
  },
  positionals: [
    {
      name: "session",
      description: "an id, as `opta sessions list` shows it",
      required: true,
    },
  ],
  examples: [
    "opta daemon events V1StGXR8_Z5j",
    "opta daemon events V1StGXR8_Z5j -f --after 120 | jq -r .event",
  ],
  async run({ args: { after, follow }, rest: [sessionId = ""], io, connect }) {
    const client = await connect({}, { mode: "attach", anySettings: true });
    const { seq: head, storedSeq } = await client.call("session.get", { sessionId });
    const gap =
      storedSeq < head && after < head ? missing(sessionId, { storedSeq, head }) : undefined;
    if (gap !== undefined && follow) io.stderr.write(`opta: ${gap.message}\n`);
    const reading = new AbortController();
    const stop = onInterrupt(() => reading.abort());
    try {
      if (follow || after < storedSeq || after > head) {
        const afterSeq = after <= head ? Math.min(after, storedSeq) : after;
        const { signal } = reading;
        for await (const event of client.events(sessionId, { afterSeq, signal })) {
          io.stdout.write(`${escapeForTerminal(JSON.stringify(event))}\n`);
          if (!follow && event.seq >= storedSeq) break;
        }
      }
      if (gap !== undefined && !follow) throw gap;
      return 0;
    } finally {
      stop();
      reading.abort();
    }
  },
});

/** Another process went on with the session, or the log was lost: what was said is in the session's file. */
function missing(
  sessionId: string,
  { storedSeq, head }: { readonly storedSeq: number; readonly head: number },
): OptaError {
  return new OptaError(
    "before-retention",
    `events ${storedSeq + 1} to ${head} of session ${sessionId} are not in the daemon's log`,
    `opta daemon events ${sessionId} --after ${head}`,
  );
}
