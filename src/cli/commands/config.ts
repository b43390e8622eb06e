// Placeholder until `opta config` is written.
import { OptaError } from "../../protocol/error.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "config",
  summary: "not built yet",
  examples: ["opta config"],
  async run() {
    throw new OptaError("internal", "opta config is not built yet");
  },
});
