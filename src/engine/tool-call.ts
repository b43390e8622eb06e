// One step's tool calls: read the arguments, pass the permission gate, run, tell. Everything that goes wrong
// here is told to the model as a result; only a defect of ours throws.
import { createId } from "../base/ids.ts";
import { OptaError } from "../protocol/error.ts";
import type { EventPayload } from "../protocol/event.ts";
import type { Effect, Verdict } from "../protocol/permission.ts";
import type { ProviderToolCall } from "../providers/provider.ts";
import type { Tool, ToolContext, ToolPreview, ToolResult } from "../tools/tool.ts";
import { alwaysRuleFor } from "./permission-policy.ts";
import type { TurnContext } from "./turn-context.ts";

/** Read-only calls of one step that run at once: enough to hide disk latency, few enough for a laptop. */
const parallelCalls = 8;
/** How long a cancelled call may take to end before the turn goes on without it (promises C1). */
const cancelGraceMs = 250;

type Outcome = NonNullable<EventPayload<"tool.result">["outcome"]>;

/** A call that may run. */
interface AdmittedCall {
  readonly kind: "admitted";
  readonly call: ProviderToolCall;
  readonly tool: Tool;
  readonly args: unknown;
  readonly argsDigest: string;
  /** What was judged; the tool touches nothing else. */
  readonly effects: readonly Effect[];
  readonly answer: string | undefined;
}

/** A call that will not run; `text` tells the model why. */
interface RejectedCall {
  readonly kind: "rejected";
  readonly call: ProviderToolCall;
  readonly argsDigest: string;
  readonly outcome: Outcome;
  readonly text: string;
  readonly remedy?: string | undefined;
}

/**
 * Runs the calls of one step: neighbouring read-only ones at once, the others one after another, so that
 * what the model wrote first happens first.
 * @param options.parallel false: one call at a time, for models that lose track of several
 * @returns the text for the model of each call, in the order of `calls`
 */
export async function runToolCalls(
  calls: readonly ProviderToolCall[],
  turn: TurnContext,
  options: { readonly parallel: boolean },
): Promise<readonly string[]> {
  const results: string[] = [];
  const groups = options.parallel ? groupCalls(calls, turn.tools) : calls.map((call) => [call]);
  for (const group of groups) {
    // The gate is passed one by one: two questions at once would confuse whoever answers.
    const gated: (AdmittedCall | RejectedCall)[] = [];
    for (const call of group) gated.push(await admit(call, turn));
    results.push(...(await Promise.all(gated.map((call) => settle(call, turn)))));
  }
  return results;
}

/** Neighbouring read-only calls together, at most parallelCalls; every other call alone. */
function groupCalls(
  calls: readonly ProviderToolCall[],
  tools: ReadonlyMap<string, Tool>,
): ProviderToolCall[][] {
  const groups: ProviderToolCall[][] = [];
  let open: ProviderToolCall[] | undefined;
  for (const call of calls) {
    const readOnly = tools.get(call.name)?.readOnly ?? false;
    if (readOnly && open && open.length < parallelCalls) open.push(call);
    else groups.push((open = [call]));
    if (!readOnly) open = undefined;
  }
  return groups;
}

async function admit(
  call: ProviderToolCall,
  turn: TurnContext,
): Promise<AdmittedCall | RejectedCall> {
  const argsDigest = digest(call);
  const reject = (outcome: Outcome, text: string, remedy?: string): RejectedCall => ({
    kind: "rejected",
    call,
    argsDigest,
    outcome,
    text,
    remedy,
  });
  if (turn.signal.aborted) return reject("cancelled", cancelledText(turn.signal));
  if (call.problem !== undefined) return reject("invalid", call.problem);
  const tool = turn.tools.get(call.name);
  if (!tool) {
    const names = [...turn.tools.keys()].toSorted().join(", ");
    return reject("invalid", `there is no tool named ${call.name}; the tools are: ${names}`);
  }
  const parsed = parseArguments(call, tool);
  if (!parsed.ok) return reject("invalid", parsed.problem);

  const effects = await tool.effects(parsed.args, turn.workspace);
  const verdict = turn.judge(tool.name, effects);
  if (verdict.decision === "deny") {
    const text = `denied by policy (${verdict.rule}): ${verdict.reason}`;
    return reject("denied", text, verdict.remedy);
  }
  let answer: string | undefined;
  if (verdict.decision === "ask") {
    const { args } = parsed;
    const { workspace, session } = turn;
    const preview = await tool.preview?.(args, { workspace, files: session.files });
    // Nobody is asked about what is known to fail, as long as the model may know why.
    if (preview?.ok === false && mayRead(effects, turn)) return reject("invalid", preview.text);
    const decision = await ask(
      { call, tool, effects, verdict, argsDigest, args, preview: toText(preview) },
      turn,
    );
    if (turn.signal.aborted) return reject("cancelled", cancelledText(turn.signal));
    if (decision.decision === "deny") {
      const why = decision.reason ?? "the user said no";
      return reject(decision.unattended ? "denied" : "refused", `denied: ${why}`);
    }
    if (decision.always) turn.session.rules.push(...alwaysRuleFor(tool.name, effects, turn));
    answer = decision.answer;
  }
  return { kind: "admitted", call, tool, args: parsed.args, argsDigest, effects, answer };
}

/** The reason of a failed preview may quote files: it is told where read_file would be allowed without a question. */
function mayRead(effects: readonly Effect[], turn: TurnContext): boolean {
  const reads = effects.map((effect) =>
    "path" in effect ? ({ kind: "read", path: effect.path } as const) : effect,
  );
  return turn.judge("read_file", reads).decision === "allow";
}

function toText(preview: ToolPreview | undefined): string | undefined {
  return preview?.ok === false ? `this call would fail: ${preview.text}` : preview?.text;
}

/** Binds a decision to the tool and the exact arguments that were shown (promises G3). */
function digest(call: ProviderToolCall): string {
  return new Bun.CryptoHasher("sha256").update(`${call.name}\0${call.arguments}`).digest("hex");
}

function parseArguments(
  call: ProviderToolCall,
  tool: Tool,
): { ok: true; args: unknown } | { ok: false; problem: string } {
  let value: unknown;
  try {
    value = JSON.parse(call.arguments);
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    return {
      ok: false,
      problem: `the arguments of ${call.name} are not valid JSON: ${what}. Nothing was done; send the whole call again.`,
    };
  }
  const parsed = tool.parameters.safeParse(value);
  if (parsed.success) return { ok: true, args: parsed.data };
  const issues = parsed.error.issues
    .slice(0, 5)
    .map((issue) => `${issue.path.join(".") || "arguments"}: ${issue.message}`);
  return {
    ok: false,
    problem: `the arguments of ${call.name} do not fit: ${issues.join("; ")}. Nothing was done.`,
  };
}

interface AskedCall {
  readonly call: ProviderToolCall;
  readonly tool: Tool;
  readonly args: unknown;
  readonly effects: readonly Effect[];
  readonly verdict: Verdict;
  readonly argsDigest: string;
  readonly preview: string | undefined;
}

async function ask(asked: AskedCall, turn: TurnContext) {
  const { tool, args, verdict, preview } = asked;
  const question = asked.effects.find((effect) => effect.kind === "question")?.question;
  return turn.session.permissions.ask(
    {
      turnId: turn.turnId,
      toolName: tool.name,
      callId: asked.call.id,
      args: args as Record<string, unknown>,
      argsDigest: asked.argsDigest,
      rule: verdict.rule,
      reason: verdict.reason,
      ...(preview === undefined ? {} : { preview }),
      ...(verdict.remedy === undefined ? {} : { remedy: verdict.remedy }),
      ...(question === undefined ? {} : { question }),
    },
    turn.signal,
  );
}

/** Runs an admitted call, or reports a rejected one; either way one tool.start and one tool.result. */
async function settle(gated: AdmittedCall | RejectedCall, turn: TurnContext): Promise<string> {
  const { call, argsDigest } = gated;
  const names = { name: call.name, toolName: call.name, id: call.id, callId: call.id };
  const { turnId, session } = turn;
  session.emit("tool.start", { turnId, ...names, args: call.arguments, argsDigest });
  const startedMs = performance.now();
  const { result, outcome } =
    gated.kind === "admitted"
      ? await run(gated, turn)
      : { result: { ok: false, text: gated.text }, outcome: gated.outcome };
  session.emit("tool.result", {
    turnId,
    ...names,
    result: result.text,
    ok: result.ok,
    ...(outcome === undefined ? {} : { outcome }),
    ...(gated.kind === "rejected" && gated.remedy !== undefined ? { remedy: gated.remedy } : {}),
    elapsed: Math.round(performance.now() - startedMs),
  });
  if (outcome === "denied") turn.counters.deniedCalls += 1;
  if (gated.kind === "admitted") turn.counters.toolCalls += 1;
  return result.text;
}

async function run(
  admitted: AdmittedCall,
  turn: TurnContext,
): Promise<{ result: ToolResult; outcome?: Outcome }> {
  const { tool } = admitted;
  const context: ToolContext = {
    workspace: turn.workspace,
    toolPath: turn.toolPath,
    outputDirectory: turn.outputDirectory,
    // Not the model's id: it comes from outside, repeats on some servers, and names files here.
    callId: createId(),
    files: turn.session.files,
    effects: admitted.effects,
    ...turn.readScope(tool.name, admitted.effects),
    answer: admitted.answer,
    signal: turn.signal,
  };
  const running = tool.run(admitted.args, context).catch((error: unknown): ToolResult => {
    const what = error instanceof Error ? error.message : String(error);
    return { ok: false, text: `${tool.name} failed: ${what}` };
  });
  turn.session.leaving.add(running);
  void running.then(() => turn.session.leaving.delete(running));
  const result = await Promise.race([running, graceAfterAbort(turn.signal)]);
  if (result !== undefined) return { result };
  return { result: { ok: false, text: cancelledText(turn.signal) }, outcome: "cancelled" };
}

/** Why, for the model and for whoever reads it later. */
function cancelledText({ reason }: AbortSignal): string {
  const isUsers = !(reason instanceof OptaError) || reason.code === "cancelled";
  return isUsers ? "cancelled by the user" : `cancelled: ${reason.message}`;
}

/** Undefined, cancelGraceMs after the abort; never before. */
function graceAfterAbort(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    const wait = () => setTimeout(() => resolve(undefined), cancelGraceMs);
    if (signal.aborted) wait();
    else signal.addEventListener("abort", wait, { once: true });
  });
}
