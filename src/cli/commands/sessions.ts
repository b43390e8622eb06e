// Placeholder until `opta sessions` is written.
import { OptaError } from "../../protocol/error.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "sessions",
  summary: "not built yet",
  examples: ["opta sessions"],
  async run() {
    throw new OptaError("internal", "opta sessions is not built yet");
  },
});
