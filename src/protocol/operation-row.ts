// What a row of the operations table says of one operation.
import type * as z from "zod";

/** Schemas are lazy: making all of them costs more CPU than `opta --version`, and one command uses a few. */
export interface OperationRow {
  /** One sentence for the API reference. */
  readonly summary: string;
  readonly params: z.ZodType;
  readonly result: z.ZodType;
}
