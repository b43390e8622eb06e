// `--device host[:port]` and `--provider`: one server for this run, and no other.
import { OptaError } from "../protocol/error.ts";
import type { ConfigFlags } from "../config/load.ts";

/**
 * The settings that a device stands for; its own port, or the configured one.
 * @param device "studio", "studio:8080", "::1", "[::1]:8080"
 * @throws OptaError usage
 */
export function deviceSettings(device: string): ConfigFlags {
  const match =
    device.match(/^\[([0-9a-f:.]+)\](?::(\d+))?$/i) ?? device.match(/^([^\s:/]+)(?::(\d+))?$/);
  const host = match?.[1] ?? (/^[0-9a-f:.]+$/i.test(device) ? device : undefined);
  const port = match?.[2] === undefined ? undefined : Number(match[2]);
  if (host === undefined || (port !== undefined && (port < 1 || port > 65535))) {
    // user:password@host is not repeated.
    const shown = device.includes("@") ? "" : ` "${device}"`;
    const message = `--device${shown} is not a host or host:port`;
    throw new OptaError("usage", message, 'opta do --device localhost:1234 "…"');
  }
  // A named device is meant: falling back to another would answer from the wrong machine.
  return {
    "connection.host": host,
    "connection.port": port,
    "connection.fallbackHosts": [],
    ...providerSettings("lmx"),
  };
}

/** For commands that ask a server; `--provider` says whether it is the local one. */
export const providerFlag = {
  type: "enum",
  options: ["lmx", "anthropic"],
  description: "who answers: your own server, or the cloud (needs ANTHROPIC_API_KEY)",
} as const;

/**
 * The settings that `--device` and `--provider` stand for together.
 * @throws OptaError usage
 */
export function serverSettings(args: {
  readonly device: string | undefined;
  readonly provider: "lmx" | "anthropic" | undefined;
}): ConfigFlags {
  const { device, provider } = args;
  if (device !== undefined && provider === "anthropic") {
    const message = "--device names a server of yours, --provider anthropic the cloud: choose one";
    throw new OptaError("usage", message, "opta help do");
  }
  return {
    ...(provider === undefined ? {} : providerSettings(provider)),
    ...(device === undefined ? {} : deviceSettings(device)),
  };
}

/** Whoever names the local provider wants no cloud behind it either. */
function providerSettings(provider: "lmx" | "anthropic"): ConfigFlags {
  return {
    "provider.default": provider,
    ...(provider === "lmx" ? { "provider.fallback": "none" } : {}),
  };
}
