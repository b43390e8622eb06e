// The demonstration: a small broken project, and the scenario of a model that reads it, mends it, runs its
// check and says what was wrong. Each turn expects what the tools must have returned, so that it plays to
// its end only when the edit took effect and the check passed.
import type { ScenarioInput } from "./scenario.ts";

/** Path relative to the workspace -> content. Needs bash alone, also the 3.2 of macOS. */
export const demoFiles: Readonly<Record<string, string>> = {
  "README.md": `# Order prices

\`price.sh\` computes the price of an order in cents.
From ten pieces on there is a discount of 10 %.
\`bash check.sh\` checks it.
`,
  "price.sh": `# price QUANTITY UNIT_PRICE: what an order costs, in cents.
price() {
  local total=$(($1 * $2))
  if [ "$1" -gt 10 ]; then
    total=$((total * 90 / 100))
  fi
  echo "$total"
}
`,
  "check.sh": `. ./price.sh
failed=0

# check QUANTITY UNIT_PRICE EXPECTED
check() {
  local got
  got=$(price "$1" "$2")
  if [ "$got" = "$3" ]; then
    echo "ok    $1 x $2 = $got"
  else
    echo "FAIL  $1 x $2 = $got, expected $3"
    failed=$((failed + 1))
  fi
}

check 1 250 250
check 9 250 2250
check 10 250 2250
check 20 250 4500

echo "$failed of 4 checks failed"
[ "$failed" -eq 0 ]
`,
};

/** What the user asks. */
export const demoPrompt = "bash check.sh fails. Find out why and fix it.";

const pace = { firstTokenMs: 250, betweenChunksMs: 12 };

/** Four turns: read, edit, run the check, sum up. */
export const demoScenario: ScenarioInput = {
  models: [{ id: "demo/scripted-model", sizeGb: 1, contextLength: 32_768 }],
  turns: [
    {
      expect: demoPrompt,
      text: "I'll read the script and its check first.",
      toolCalls: [
        { name: "read_file", arguments: { path: "price.sh" } },
        { name: "read_file", arguments: { path: "check.sh" } },
      ],
      delays: pace,
    },
    {
      expect: ["-gt 10", "check 10 250 2250"],
      text: "The discount starts above ten pieces, but it should start at ten: `-gt` has to be `-ge`.",
      toolCalls: [
        {
          name: "edit_file",
          arguments: {
            path: "price.sh",
            old_text: 'if [ "$1" -gt 10 ]; then',
            new_text: 'if [ "$1" -ge 10 ]; then',
          },
        },
      ],
      delays: pace,
    },
    {
      text: "Now the check.",
      toolCalls: [{ name: "run_command", arguments: { command: "bash check.sh" } }],
      delays: pace,
    },
    {
      expect: ["ok    10 x 250 = 2250", "0 of 4 checks failed"],
      text:
        "Fixed. An order of exactly ten pieces missed its discount, because `price.sh` compared with " +
        "`-gt` (more than ten) instead of `-ge` (ten or more). `bash check.sh` now passes: 0 of 4 checks failed.",
      delays: pace,
    },
  ],
};
