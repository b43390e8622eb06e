// The engine: sessions and the operations on them. The same object serves a one-shot `opta do` and the
// daemon; it knows no terminal, no HTTP and no configuration file.
import { stat, realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { createId } from "../base/ids.ts";
import { orAborted } from "../base/or-aborted.ts";
import { resolveLinks } from "../base/resolve-links.ts";
import { OptaError, toOptaError } from "../protocol/error.ts";
import type { OptaEvent } from "../protocol/event.ts";
import type { OperationName, OperationParams, OperationResult } from "../protocol/operations.ts";
import type { Effect, PermissionMode, PermissionRule } from "../protocol/permission.ts";
import { titleFromPrompt, type SessionFile } from "../protocol/session.ts";
import { spokenText } from "../protocol/turn-facts.ts";
import type { Provider, ProviderDownloads, ResolvedModel } from "../providers/provider.ts";
import type { SessionStore } from "../store/session-store.ts";
import type { Tool } from "../tools/tool.ts";
import { reportContext } from "./context-report.ts";
import { createEventLog } from "./event-log.ts";
import { completeHistory } from "./message-history.ts";
import { openSystemMessage, openUserMessage, readSystemMessage } from "./opening-messages.ts";
import { createPathMatcher } from "./path-globs.ts";
import { createReadScope, judge, type JudgedCall } from "./permission-policy.ts";
import { createSession, newSessionFile, type Session, type Turn } from "./session.ts";
import { toToolSchemas } from "./tool-schemas.ts";
import { runTurn } from "./turn.ts";
import type { TurnContext } from "./turn-context.ts";

export interface EngineOptions {
  readonly daemonId: string;
  readonly provider: Provider;
  readonly tools: readonly Tool[];
  readonly store: SessionStore;
  /** The model to use where neither session nor turn names one; undefined: the loaded one. */
  readonly model: string | undefined;
  readonly permissions: {
    readonly mode: PermissionMode;
    readonly rules: readonly PermissionRule[];
  };
  /** Model requests of one turn. */
  readonly maxSteps: number;
  /** Absolute, symbolic links resolved; so is settingsDirectory. */
  readonly home: string;
  /** opta's own directory. */
  readonly settingsDirectory: string;
  readonly platform: string;
  readonly now: () => Date;
}

export interface Engine {
  /** @throws OptaError; params are taken as checked against the operations table. */
  call<N extends OperationName>(
    operation: N,
    params: OperationParams<N>,
    signal: AbortSignal,
  ): Promise<OperationResult<N>>;
  /** @throws OptaError not-found when the session is not open here | state-conflict for a bad cursor */
  events(sessionId: string, afterSeq: number, signal: AbortSignal): AsyncIterable<OptaEvent>;
  /** Cancels every turn, waits for what runs, frees locks and sockets. */
  close(): Promise<void>;
}

type Handlers = {
  readonly [N in OperationName]: (
    params: OperationParams<N>,
    signal: AbortSignal,
  ) => Promise<OperationResult<N>>;
};

export function createEngine(options: EngineOptions): Engine {
  const { provider, store, now } = options;
  const log = createEventLog({ daemonId: options.daemonId, now });
  const open = new Map<string, Session>();
  const tools = new Map(options.tools.map((tool) => [tool.name, tool]));
  const toolSchemas = toToolSchemas(options.tools);
  const closing = new AbortController();

  /** Connections begun while a session is prepared; the first turn that wants the same model takes its own over. */
  const warming = new Map<string | undefined, Promise<ResolvedModel>>();

  function warm(model: string | undefined): void {
    const connecting = provider.connect(model, closing.signal);
    connecting.catch(() => undefined); // the turn that takes it over reports it
    warming.set(model, connecting);
  }

  function connect(model: string | undefined, signal: AbortSignal): Promise<ResolvedModel> {
    const warmed = warming.get(model);
    warming.delete(model);
    return warmed ? orAborted(warmed, signal) : provider.connect(model, signal);
  }

  /** The model a session goes on with. One that another provider chose means nothing to this one. */
  function sessionModel(file: SessionFile): string | undefined {
    const isOurs = (file.metadata.provider ?? "lmx") === provider.id;
    return (isOurs && file.model) || options.model;
  }

  function sessionOf(sessionId: string): Session {
    const session = open.get(sessionId);
    if (session) return session;
    throw new OptaError(
      "not-found",
      `session ${sessionId} is not open here`,
      `opta do --resume ${sessionId} "…"`,
    );
  }

  function policyFor(context: {
    readonly workspace: string;
    readonly mode: PermissionMode;
    readonly sessionRules: readonly PermissionRule[];
    readonly readableDirectories: readonly string[];
  }): Pick<TurnContext, "judge" | "readScope"> {
    const { home, settingsDirectory } = options;
    const matchesPath = createPathMatcher({ workspace: context.workspace, home, resolveLinks });
    const callOf = (tool: string, effects: readonly Effect[]): JudgedCall => ({
      tool,
      effects,
      rules: options.permissions.rules,
      matchesPath,
      settingsDirectory,
      ...context,
    });
    return {
      judge: (tool, effects) => judge(callOf(tool, effects)),
      readScope: (tool, effects) => createReadScope(callOf(tool, effects)),
    };
  }

  async function turnContext(
    session: Session,
    turn: Turn,
    params: SubmitParams,
  ): Promise<TurnContext> {
    const workspace = session.file.metadata.workspace;
    const outputDirectory = await resolveParent(store.outputDirectory(session.id));
    return {
      turnId: turn.turnId,
      session,
      provider,
      tools,
      toolSchemas,
      workspace,
      outputDirectory,
      maxSteps: params.overrides?.maxSteps ?? options.maxSteps,
      signal: turn.abort.signal,
      settingsDirectory: options.settingsDirectory,
      ...policyFor({
        workspace,
        mode: permissionModeOf(params, options.permissions.mode),
        sessionRules: session.rules,
        readableDirectories: [outputDirectory],
      }),
      keep: (name, text) => store.keep(session.id, name, text),
      counters: {
        steps: 0,
        compactions: 0,
        compactedAtStep: undefined,
        promptTokens: 0,
        completionTokens: 0,
        toolCalls: 0,
        deniedCalls: 0,
        firstTokenMs: undefined,
      },
    };
  }

  async function submitTurn(params: SubmitParams) {
    const session = sessionOf(params.sessionId);
    const { file } = session;
    const { workspace } = file.metadata;
    const writer = {
      turnId: `turn_${createId()}`,
      clientId: params.clientId,
      writerId: params.writerId,
    };
    const turn: Turn = {
      ...writer,
      content: params.content,
      mode: params.mode,
      abort: new AbortController(),
    };
    const wanted = params.overrides?.model ?? sessionModel(file);
    if (file.title === "") file.title = titleFromPrompt(params.content);
    const position = session.enqueue(turn, async () => {
      const context = await turnContext(session, turn, params);
      await runTurn(turn, context, {
        connect: (signal) => connect(wanted, signal),
        systemMessage: () => openSystemMessage(context),
        userMessage: () =>
          openUserMessage(params.content, { workspace, platform: options.platform, now: now() }),
      });
    });
    session.emit("turn.queued", { ...writer, queueSize: position, position });
    return { turnId: turn.turnId, queued: position - 1 };
  }

  const handlers: Handlers = {
    async "session.create"(params) {
      warm(params.model ?? options.model);
      const id = params.sessionId ?? createId();
      const existing = open.get(id);
      if (existing) return existing.snapshot();
      const workspace = await resolveWorkspace(params.metadata.workspace);
      const lock = await store.lock(id);
      const file = newSessionFile({
        id,
        workspace,
        model: params.model ?? "",
        title: params.title ?? "",
        now: now(),
      });
      file.metadata.provider = provider.id;
      const session = createSession({ file, lock, store, log, now });
      open.set(id, session);
      session.emit("session.snapshot", { snapshot: session.snapshot(), messages: [] });
      return session.snapshot();
    },
    async "session.resume"({ sessionId }) {
      const existing = open.get(sessionId);
      if (existing) return existing.snapshot();
      const lock = await store.lock(sessionId);
      try {
        const loaded = await store.load(sessionId);
        warm(sessionModel(loaded));
        const workspace = await resolveWorkspace(loaded.metadata.workspace);
        const file = {
          ...loaded,
          metadata: { ...loaded.metadata, workspace },
          messages: completeHistory(loaded.messages),
        };
        const session = createSession({ file, lock, store, log, now });
        open.set(sessionId, session);
        return session.snapshot();
      } catch (error) {
        lock.release();
        throw error;
      }
    },
    async "session.get"({ sessionId }) {
      const session = open.get(sessionId);
      if (!session) return store.load(sessionId);
      return { ...session.file, seq: log.lastSeq(sessionId) };
    },
    async "session.list"({ limit, workspace, query }) {
      const { sessions, corrupt } = await store.list();
      const inWorkspace = sessions.filter(
        (session) => !workspace || session.workspace === workspace,
      );
      const found = query ? await withText(inWorkspace, query) : inWorkspace;
      return { sessions: found.slice(0, limit), corrupt };
    },
    async "session.context"(params, signal) {
      const file =
        params.sessionId === undefined
          ? undefined
          : (open.get(params.sessionId)?.file ?? (await store.load(params.sessionId)));
      const workspace = file?.metadata.workspace ?? (await resolveWorkspace(params.workspace));
      const wanted = params.model ?? (file === undefined ? options.model : sessionModel(file));
      const resolved = await connect(wanted, signal).catch(toOptaError);
      const policy = policyFor({
        workspace,
        mode: options.permissions.mode,
        sessionRules: [],
        readableDirectories: [],
      });
      const { message } = await readSystemMessage({ workspace, judge: policy.judge });
      // A session without a system message gets one with its next turn.
      const said = file?.messages ?? [];
      const messages = said[0]?.role === "system" ? said : [message, ...said];
      return reportContext({ file, messages, tools: toolSchemas, resolved });
    },
    async "session.delete"({ sessionId }) {
      await store.delete(sessionId);
      return { deleted: true };
    },
    "turn.submit": submitTurn,
    async "turn.cancel"({ sessionId, turnId }) {
      const cancelled = sessionOf(sessionId).cancel(turnId);
      const count = cancelled.cancelledQueued + (cancelled.cancelledActive ? 1 : 0);
      return { ok: true, cancelled: count, ...cancelled };
    },
    async "permission.resolve"({ sessionId, requestId, ...answer }) {
      sessionOf(sessionId).permissions.resolve(requestId, answer);
      return { ok: true, conflict: false };
    },
    async "permission.explain"(params) {
      const tool = tools.get(params.tool);
      if (!tool) {
        const names = [...tools.keys()].toSorted().join(", ");
        throw new OptaError("usage", `there is no tool named ${params.tool}`, `tools: ${names}`);
      }
      const workspace = await resolveWorkspace(params.workspace);
      const args = tool.parameters.safeParse(params.args);
      if (!args.success) {
        const issue = args.error.issues[0];
        throw new OptaError("usage", `${params.tool}: ${issue?.path.join(".")}: ${issue?.message}`);
      }
      return policyFor({
        workspace,
        mode: params.mode ?? options.permissions.mode,
        sessionRules: [],
        readableDirectories: [],
      }).judge(tool.name, await tool.effects(args.data, workspace));
    },
    "lmx.status": (_params, signal) => provider.status(signal),
    "lmx.models": (_params, signal) => provider.models(signal),
    "lmx.load": ({ modelId }, signal) => provider.load(modelId, signal),
    "lmx.download": (question, signal) => downloadsOf(provider).confirm(question, signal),
    "lmx.downloadProgress": ({ downloadId }, signal) =>
      downloadsOf(provider).progress(downloadId, signal),
    async "lmx.unload"({ modelId }, signal) {
      const { freedBytes } = await provider.unload(modelId, signal);
      return { modelId, freedBytes };
    },
  };

  /** The sessions whose title or messages contain `query`, case-insensitively. */
  async function withText<S extends { sessionId: string; title: string }>(
    sessions: readonly S[],
    query: string,
  ): Promise<S[]> {
    const needle = query.toLowerCase();
    const found: S[] = [];
    for (const session of sessions) {
      // One that went away or broke since it was listed has nothing to find.
      const loaded = await store.load(session.sessionId).catch(() => undefined);
      if (!loaded) continue;
      const { messages } = loaded;
      const said = messages.filter((message) => message.role !== "system").map(spokenText);
      if ([session.title, ...said].some((text) => text.toLowerCase().includes(needle))) {
        found.push(session);
      }
    }
    return found;
  }

  return {
    call: (operation, params, signal) => handlers[operation](params, signal),
    events(sessionId, afterSeq, signal) {
      sessionOf(sessionId);
      return log.subscribe(sessionId, afterSeq, signal);
    },
    async close() {
      closing.abort();
      await Promise.all([...open.values()].map((session) => session.close()));
      provider.close();
    },
  };
}

/** @throws OptaError usage */
function downloadsOf(provider: Provider): ProviderDownloads {
  if (provider.downloads !== undefined) return provider.downloads;
  throw new OptaError("usage", "this model server downloads nothing for opta", "opta models list");
}

type SubmitParams = OperationParams<"turn.submit">;

/** A turn's own mode first; plan and review turns are read-only whatever the configuration says. */
function permissionModeOf(params: SubmitParams, configured: PermissionMode): PermissionMode {
  if (params.overrides?.permissionMode) return params.overrides.permissionMode;
  switch (params.mode) {
    case "plan":
    case "research":
      return "plan";
    case "review":
      return "review";
    default:
      return configured;
  }
}

/** The path with the links in front of its last name resolved, as effects name it; the leaf need not exist. */
async function resolveParent(path: string): Promise<string> {
  const parent = dirname(path);
  return join(await realpath(parent).catch(() => parent), basename(path));
}

/** @throws OptaError not-found when there is no such directory */
async function resolveWorkspace(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) return realpath(path);
  throw new OptaError(
    "not-found",
    `the workspace ${path} is not a directory`,
    "name another: opta do --cwd DIR …",
  );
}
