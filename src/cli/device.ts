// `--device host[:port]`: one server for this run, and no other.
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
  return { "connection.host": host, "connection.port": port, "connection.fallbackHosts": [] };
}
