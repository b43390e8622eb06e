// Run by io.test.ts as a process of its own: does with the real streams what the first argument says and
// reports on the descriptor that is left.
import { createIo, OutputClosed } from "../../../src/cli/output/io.ts";

const io = createIo({ colours: true });
const [, , task = "", amount = "0"] = process.argv;
if (task === "terminals") {
  const seen = { terminals: [io.isTerminal(0), io.isTerminal(1), io.isTerminal(2)] };
  const report = { ...seen, columns: io.columns(), red: io.style(1).red("x") };
  await Bun.write(amount, JSON.stringify(report));
} else if (task === "write") {
  try {
    io.stdout.write("é".repeat(Number(amount) / 2));
    io.stderr.write("written");
  } catch (thrown) {
    io.stderr.write(thrown instanceof OutputClosed ? "closed" : String(thrown));
  }
} else if (task === "stderr") {
  for (let round = 0; round < 3; round++) io.stderr.write("lost\n");
  io.stdout.write("survived");
}
