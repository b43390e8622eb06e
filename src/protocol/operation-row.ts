// What a row of the operations table says of one operation.
import type * as z from "zod";

/** Schemas are lazy: making all of them costs more CPU than `opta --version`, and one command uses a few. */
export interface OperationRow {
  readonly method: "GET" | "POST" | "DELETE";
  /** `:name` is a parameter; the others travel in the query (GET, DELETE) or the JSON body (POST). */
  readonly path: string;
  /** HTTP status of a success where it is not 200. */
  readonly status?: 201 | 202;
  /** The model server's own answer: HTTP answers `result.body` with `result.status`. */
  readonly forwarded?: true;
  /** One sentence for the API reference. */
  readonly summary: string;
  readonly params: z.ZodType;
  readonly result: z.ZodType;
}
