// `opta version`. The plain form is answered in main.ts before anything loads; this one also knows --json.
import { version } from "../../base/version.ts";
import { defineCommand } from "../command.ts";
import { toJsonText } from "../output/json.ts";

export const command = defineCommand({
  name: "version",
  summary: "print the version",
  args: { json: { type: "boolean", description: "print {version, platform, runtime} as JSON" } },
  examples: ["opta version", "opta version --json"],
  async run({ args, io }) {
    const platform = `${process.platform}-${process.arch}`;
    const facts = { version, platform, runtime: `bun ${Bun.version}` };
    io.stdout.write(args.json ? toJsonText(facts) : `opta ${version}\n`);
    return 0;
  },
});
