// The user's settings, config.json: one zod schema, from which defaults, checks and `opta config list`
// derive. Unknown keys are refused; config/problems.ts names the nearest known one.
import * as z from "zod";
import { dialects } from "../protocol/dialect.ts";
import { permissionRuleSchema } from "../protocol/permission.ts";
import { permissionModes } from "../protocol/permission-modes.ts";

/** Settings other than keys are shown in lists and messages, so that a password in one would be, too. */
const host = z
  .string()
  .min(1)
  .refine((text) => !text.includes("@"), "must be a host without a user or password");

/** What can stand in an HTTP header (RFC 9110 section 5.5), as far as fetch and WebSocket send it unchanged. */
const key = z
  .string()
  .refine((text) => /^[ -~\u00A0-\u00FF]*$/.test(text), "must be one line of ASCII or Latin-1");

/** What a user knows of one model better than its server; what is absent comes from the server. */
export const modelSettingsSchema = z.strictObject({
  /** Tokens that fit into prompt and answer together. */
  window: z.number().int().min(1024).optional(),
  /** Whether earlier thoughts are sent back; unset: as the model's family wants it. */
  reasoning: z.enum(["resend", "drop"]).optional(),
  /** False: tool calls of one answer run one after another. */
  parallelTools: z.boolean().optional(),
  temperature: z.number().min(0).max(2).optional(),
});

/** As browsers send it: scheme, host and port, nothing behind them. */
const origin = z
  .string()
  .refine((text) => isOrigin(text), 'must be an origin such as "http://localhost:3004"');

/** Shown in lists, like the hosts above. */
export const httpUrlSchema = z
  .url({ protocol: /^https?$/ })
  .refine((text) => !hasUser(text), "must be a URL without a user or password");

/** How an MCP server is reached: a command that speaks on its standard streams, or a URL. */
const mcpServerSchema = z.union([
  z.strictObject({
    command: z.string().min(1),
    args: z.array(z.string()).default([]),
  }),
  z.strictObject({
    url: httpUrlSchema,
  }),
]);

export const configSchema = z.strictObject({
  connection: z
    .strictObject({
      host: host.default("localhost"),
      port: z.number().int().min(1).max(65535).default(1234),
      /** Tried when the primary is down; "host" or "host:port". */
      fallbackHosts: z.array(host).default([]),
      /** Sent as X-Admin-Key. */
      adminKey: key.optional(),
      /** Sent as Authorization: Bearer. */
      apiKey: key.optional(),
      /** True: models that the server only passes on to a cloud (copilot/, gemini-cli/) may be used. */
      allowCloudModels: z.boolean().default(false),
    })
    .prefault({}),
  model: z
    .strictObject({
      /** A model id or its tail; unset: the loaded one. */
      default: z.string().optional(),
    })
    .prefault({}),
  provider: z
    .strictObject({
      /** Who answers; "anthropic" is the cloud. */
      default: z.enum(["lmx", "anthropic"]).default("lmx"),
      /** Who answers when no local server can. A key alone changes nothing: this is the opt-in. */
      fallback: z.enum(["none", "anthropic"]).default("none"),
      /** The model of the cloud. */
      anthropicModel: z.string().min(1).default("claude-sonnet-5-5"),
    })
    .prefault({}),
  /** Own names for models: {"fast": "mlx-community/Qwen3-8B-4bit"}; for -m and model.default. */
  aliases: z.record(z.string().min(1), z.string().min(1)).default({}),
  /** By model id, or its part after the last "/". */
  models: z.record(z.string().min(1), modelSettingsSchema).default({}),
  permissions: z
    .strictObject({
      mode: z.enum(permissionModes).default("safe"),
      rules: z.array(permissionRuleSchema).default([]),
      /** How long a question waits for an answer before it counts as a "no". */
      timeoutMs: z.number().int().min(1_000).max(86_400_000).default(300_000),
    })
    .prefault({}),
  limits: z
    .strictObject({
      /** Model requests of one turn. */
      maxSteps: z.number().int().min(1).max(1000).default(60),
      /** How long an answer may take to begin; 0: as long as it takes. Large models read for many minutes. */
      firstTokenMinutes: z.number().min(0).max(10_000).default(0),
      /** Silence within an answer that has begun. */
      idleMinutes: z.number().positive().max(10_000).default(10),
    })
    .prefault({}),
  web: z
    .strictObject({
      /** Base URL of a SearXNG instance with its JSON format switched on; unset: web_search says how to set it. */
      searxngUrl: httpUrlSchema.optional(),
      /** Hosts that web_fetch may reach although they resolve to private addresses. */
      allowHosts: z.array(host).default([]),
    })
    .prefault({}),
  mcp: z
    .strictObject({
      /** By name. Kept for the clients that manage them. */
      servers: z.record(z.string().min(1), mcpServerSchema).default({}),
    })
    .prefault({}),
  daemon: z
    .strictObject({
      /** How events are named where a client does not ask: "opta-code" for the existing Opta Code client. */
      dialect: z.enum(dialects).default("opta"),
      /** Web pages that may talk to the daemon; the daemon's own always may. */
      allowedOrigins: z.array(origin).default([]),
      /** True: pages of allowed origins may send the token in the URL, for clients that know nothing else. */
      allowQueryToken: z.boolean().default(false),
      /** Events of sessions that rested longer are dropped; the sessions themselves stay. */
      retentionDays: z.number().int().min(1).max(36_500).default(30),
      /** Above it events of the sessions that rested longest are dropped. */
      retentionMegabytes: z.number().int().min(1).max(1_000_000).default(512),
    })
    .prefault({}),
});

/** Origins of schemes that are not the web's ("tauri://localhost") have no `origin` of their own in URL. */
function isOrigin(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\/(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?$/.test(text);
}

function hasUser(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { username, password } = new URL(url);
  return username + password !== "";
}

export type Config = z.infer<typeof configSchema>;
