// ask_user: a question to the person. The question itself travels with the permission request and the answer
// with its decision; this tool only hands the answer to the model.
import * as z from "zod";
import { defineTool } from "./tool.ts";
import type { Tool } from "./tool.ts";

export function createAskUserTool(): Tool {
  return defineTool({
    name: "ask_user",
    description: "Ask the user a question; only when you cannot go on without the answer.",
    parameters: z.object({ question: z.string().min(1) }),
    readOnly: false,
    async effects({ question }) {
      return [{ kind: "question", question }];
    },
    async run(_args, { answer }) {
      if (answer !== undefined && answer.trim() !== "") return { ok: true, text: answer };
      return {
        ok: false,
        text: "no answer: decide yourself, and say in your reply what you assumed",
      };
    },
  });
}
