// Placeholder until `opta permissions` is written.
import { OptaError } from "../../protocol/error.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "permissions",
  summary: "not built yet",
  examples: ["opta permissions"],
  async run() {
    throw new OptaError("internal", "opta permissions is not built yet");
  },
});
