// Placeholder until `opta models` is written.
import { OptaError } from "../../protocol/error.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "models",
  summary: "not built yet",
  examples: ["opta models"],
  async run() {
    throw new OptaError("internal", "opta models is not built yet");
  },
});
