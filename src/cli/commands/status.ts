// Placeholder until `opta status` is written.
import { OptaError } from "../../protocol/error.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "status",
  summary: "not built yet",
  examples: ["opta status"],
  async run() {
    throw new OptaError("internal", "opta status is not built yet");
  },
});
