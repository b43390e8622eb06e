// Placeholder until `opta completions` is written.
import { OptaError } from "../../protocol/error.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "completions",
  summary: "not built yet",
  examples: ["opta completions"],
  async run() {
    throw new OptaError("internal", "opta completions is not built yet");
  },
});
