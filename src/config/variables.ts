// The environment variables that decide what opta does.

/** Variable -> the setting that it overrides. */
export const settingVariables: Readonly<Record<string, string>> = {
  OPTA_HOST: "connection.host",
  OPTA_PORT: "connection.port",
  OPTA_MODEL: "model.default",
  OPTA_ADMIN_KEY: "connection.adminKey",
  OPTA_API_KEY: "connection.apiKey",
};

/** Those that reach a provider without being settings. */
export const providerVariables = ["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"] as const;
