// `opta daemon events`: a session's events as the daemon stored them, one envelope per line.
import { escapeForTerminal } from "../../base/terminal-json.ts";
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
  async run({ args, rest: [sessionId = ""], io, connect }) {
    const client = await connect({}, { mode: "attach", anySettings: true });
    const { seq: head } = await client.call("session.get", { sessionId });
    const reading = new AbortController();
    const stop = onInterrupt(() => reading.abort());
    try {
      if (!args.follow && args.after === head) return 0;
      const { signal } = reading;
      for await (const event of client.events(sessionId, { afterSeq: args.after, signal })) {
        io.stdout.write(`${escapeForTerminal(JSON.stringify(event))}\n`);
        if (!args.follow && event.seq >= head) break;
      }
      return 0;
    } finally {
      stop();
      reading.abort();
    }
  },
});
