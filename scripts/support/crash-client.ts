// What the crash checks do to a daemon as its clients, over HTTP and WebSocket, and the ledger of what it owes them:
// every frame that was seen, every turn that was accepted, under the key it was submitted with.
import { callsOf, type PlannedTurn, toWords } from "./crash-plan.ts";
import type { StartedDaemon } from "./crash-daemon.ts";

export interface Submission {
  readonly key: string;
  readonly plan: PlannedTurn;
  /** Undefined: it was sent, and the daemon died before its answer came. */
  turnId: string | undefined;
}

export interface CrashSession {
  readonly id: string;
  readonly workspace: string;
  /** The daemon said 201. */
  isAccepted: boolean;
  /** Frame by seq, byte for byte, as any client of any daemon saw it. */
  readonly observed: Map<number, string>;
  readonly submissions: Submission[];
  /** Something was asked of it since it was last inspected. */
  isDirty: boolean;
  /** What clients themselves found wrong: a frame out of order, two texts under one seq. */
  readonly complaints: string[];
}

export function newCrashSession(id: string, workspace: string): CrashSession {
  return {
    id,
    workspace,
    isAccepted: false,
    observed: new Map(),
    submissions: [],
    isDirty: true,
    complaints: [],
  };
}

interface Envelope {
  readonly event?: string;
  readonly seq?: number;
  readonly payload?: Readonly<Record<string, string>>;
}

interface Ack {
  readonly action?: string;
  readonly turnId?: string;
  readonly error?: string;
}

export interface Observer {
  /** The last seq it saw. */
  seq(): number;
  /** As CrashClient.submit, but over the socket; one at a time. */
  submit(submission: Submission): Promise<void>;
  /** Resolves when the socket is closed, by whomever. */
  readonly closed: Promise<void>;
  close(): void;
}

/** Requests fail (reject) once the daemon is dead; nothing is sent twice. */
export interface CrashClient {
  create(session: CrashSession): Promise<void>;
  /** @returns once the daemon said 202 */
  submit(session: CrashSession, submission: Submission): Promise<void>;
  cancel(session: CrashSession, turnId: string): Promise<void>;
  resolve(session: CrashSession, requestId: string, decision: string): Promise<void>;
  /** The stored events as texts, byte for byte. */
  events(session: CrashSession): Promise<readonly string[]>;
  /** Undefined: there is no such session. */
  messages(session: CrashSession): Promise<readonly unknown[] | undefined>;
  /** Follows the session from `afterSeq` on. @param onEvent after each frame was written down */
  observe(
    session: CrashSession,
    afterSeq: number,
    onEvent?: (event: Envelope, observer: Observer) => void,
  ): Observer;
}

export function createCrashClient({ url, state }: StartedDaemon): CrashClient {
  const headers = { authorization: `Bearer ${state.token}`, "content-type": "application/json" };

  async function request(method: string, path: string, body?: object): Promise<Response> {
    return fetch(`${url}/v3/sessions${path}`, {
      method,
      headers,
      // A connection that outlived the daemon it led to would fail for no fault of the next one.
      keepalive: false,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  async function expectOk(answer: Promise<Response>): Promise<string> {
    const response = await answer;
    const text = await response.text();
    if (!response.ok) throw new RefusedError(`${response.url} answered ${response.status} ${text}`);
    return text;
  }

  return {
    async create(session) {
      const { id: sessionId, workspace } = session;
      await expectOk(request("POST", "", { sessionId, metadata: { workspace } }));
      session.isAccepted = true;
    },
    async submit(session, submission) {
      const path = `/${session.id}/turns`;
      const text = await expectOk(request("POST", path, submitParams(submission)));
      noteAccepted(session, submission, (JSON.parse(text) as { readonly turnId: string }).turnId);
    },
    async cancel({ id }, turnId) {
      await expectOk(request("POST", `/${id}/cancel`, { turnId }));
    },
    async resolve({ id }, requestId, decision) {
      const path = `/${id}/permissions/${requestId}`;
      const response = await request("POST", path, { requestId, decision, decidedBy: "crash" });
      // 409: the turn ended meanwhile, or the other client was first.
      if (!response.ok && response.status !== 409) {
        throw new RefusedError(`${path} answered ${response.status} ${await response.text()}`);
      }
    },
    async events({ id }) {
      const text = await expectOk(request("GET", `/${id}/events`));
      const { events } = JSON.parse(text) as { readonly events: readonly unknown[] };
      const texts = events.map((event) => JSON.stringify(event));
      // The document is its events' texts and commas: then each of them is what was stored, byte for byte.
      if (text !== `{"events":[${texts.join(",")}]}`) {
        throw new Error(`the events of ${id} are not the JSON that JSON.stringify writes`);
      }
      return texts;
    },
    async messages({ id }) {
      const response = await request("GET", `/${id}`);
      if (response.status === 404) return undefined;
      const text = await expectOk(Promise.resolve(response));
      return (JSON.parse(text) as { readonly messages: readonly unknown[] }).messages;
    },
    observe: (session, afterSeq, onEvent) =>
      observe({ url, token: state.token }, session, afterSeq, onEvent),
  };
}

function submitParams({ key, plan }: Submission): object {
  const { permissionMode } = plan;
  return {
    clientId: "crash",
    writerId: "crash",
    content: toWords(plan),
    mode: "do",
    idempotencyKey: key,
    overrides: { permissionMode },
  };
}

function noteAccepted(session: CrashSession, submission: Submission, turnId: string): void {
  if (submission.turnId !== undefined && submission.turnId !== turnId) {
    session.complaints.push(`key ${submission.key}: ${submission.turnId}, then ${turnId}`);
  }
  submission.turnId = turnId;
}

/** The daemon lives and said no: never expected here, unlike a connection that breaks. */
export class RefusedError extends Error {}

function observe(
  { url, token }: { readonly url: string; readonly token: string },
  session: CrashSession,
  afterSeq: number,
  onEvent?: (event: Envelope, observer: Observer) => void,
): Observer {
  const { id, observed, complaints } = session;
  const socket = new WebSocket(
    `${url.replace("http", "ws")}/v3/ws?sessionId=${id}&afterSeq=${afterSeq}`,
    { headers: { authorization: `Bearer ${token}` } } as never,
  );
  const { promise: closed, resolve: onClosed } = Promise.withResolvers<void>();
  let seq = afterSeq;
  let onAck: ((turnId: string) => void) | undefined;
  const observer: Observer = {
    seq: () => seq,
    async submit(submission) {
      const { promise: acked, resolve } = Promise.withResolvers<string>();
      onAck = resolve;
      const command = { type: "turn.submit", sessionId: id, ...submitParams(submission) };
      socket.send(JSON.stringify(command));
      const turnId = await Promise.race([acked, closed]);
      if (turnId === undefined) throw new Error("the socket closed before the turn was accepted");
      noteAccepted(session, submission, turnId);
    },
    closed,
    close: () => socket.close(),
  };
  socket.addEventListener("close", () => onClosed());
  socket.addEventListener("message", ({ data }) => {
    const text = String(data);
    const event = JSON.parse(text) as Envelope & Ack;
    if (event.action === "turn.submit") onAck?.(event.turnId ?? "");
    if (event.error !== undefined) complaints.push(`${id}: a socket was told ${text}`);
    if (event.seq === undefined) return;
    if (event.seq !== seq + 1) complaints.push(`${id}: seq ${event.seq} came after ${seq}`);
    seq = event.seq;
    const known = observed.get(seq);
    if (known !== undefined && known !== text) {
      complaints.push(`${id}: two texts under seq ${seq}: ${known} and ${text}`);
    }
    observed.set(seq, known ?? text);
    onEvent?.(event, observer);
  });
  return observer;
}

/** Every call id of a session's submissions. */
export function plannedCalls({ submissions }: CrashSession) {
  return submissions.flatMap(({ plan }) => callsOf(plan));
}
