// Placeholder until `opta demo` is written.
import { OptaError } from "../../protocol/error.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "demo",
  summary: "not built yet",
  examples: ["opta demo"],
  async run() {
    throw new OptaError("internal", "opta demo is not built yet");
  },
});
