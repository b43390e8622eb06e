// A small table of text: columns aligned by what a terminal shows, cut to its width only where somebody
// looks at a terminal, so that a pipe always gets whole cells.
import { stripTerminalText } from "../../base/terminal-text.ts";
import type { Io } from "./io.ts";

export interface Table {
  readonly head: readonly string[];
  /** Each as long as `head`. */
  readonly rows: readonly (readonly string[])[];
  /** Indexes of columns of numbers. */
  readonly alignRight?: readonly number[];
  /** Indexes of columns that are never cut: what somebody will copy, such as an id. */
  readonly whole?: readonly number[];
}

/** The table as lines for stdout, each ended by a line feed. Cells are made harmless for a terminal. */
export function renderTable(table: Table, io: Io): string {
  const rows = [table.head, ...table.rows].map((row) => row.map(toCell));
  const natural = table.head.map((_, column) =>
    Math.max(...rows.map((row) => Bun.stringWidth(row[column] ?? ""))),
  );
  const widths = io.isTerminal(1)
    ? fitWidths(natural, { columns: io.columns(), whole: table.whole ?? [] })
    : natural;
  const style = io.style(1);
  const lines = rows.map((row, index) => {
    const cells = widths.map((width, column) => {
      const right = table.alignRight?.includes(column) ?? false;
      return pad(cut(row[column] ?? "", width), width, right);
    });
    const line = cells.join(gap).trimEnd();
    return index === 0 ? style.dim(line) : line;
  });
  return lines.map((line) => `${line}\n`).join("");
}

const gap = "  ";
/** A column is never cut below this, even if the line then wraps. */
const narrowest = 8;

/** Takes what does not fit from the widest columns first. */
function fitWidths(
  natural: readonly number[],
  { columns, whole }: { readonly columns: number; readonly whole: readonly number[] },
): readonly number[] {
  const widths = [...natural];
  const available = columns - gap.length * (widths.length - 1);
  for (;;) {
    const total = widths.reduce((sum, width) => sum + width, 0);
    const cuttable = widths.filter((_, column) => !whole.includes(column));
    const widest = Math.max(...cuttable);
    if (total <= available || widest <= narrowest) return widths;
    const index = widths.findIndex((width, column) => width === widest && !whole.includes(column));
    const next = Math.max(narrowest, ...cuttable.filter((width) => width < widest));
    widths[index] = Math.max(next, widest - (total - available), narrowest);
    if (widths[index] === widest) widths[index] = widest - 1;
  }
}

function toCell(text: string): string {
  return stripTerminalText(text).replace(/\s+/g, " ").trim();
}

function pad(text: string, width: number, right: boolean): string {
  const space = " ".repeat(Math.max(0, width - Bun.stringWidth(text)));
  return right ? space + text : text + space;
}

function cut(text: string, width: number): string {
  if (Bun.stringWidth(text) <= width) return text;
  let kept = "";
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    if (Bun.stringWidth(kept + segment) > width - 1) break;
    kept += segment;
  }
  return `${kept}…`;
}
