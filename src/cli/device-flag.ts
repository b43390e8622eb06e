// `--device host[:port]`: this model server and no other, for one command.
import type { ConfigFlags } from "../config/load.ts";
import { OptaError } from "../protocol/error.ts";

export const deviceFlag = {
  device: {
    type: "string",
    valueHint: "HOST[:PORT]",
    description: "use this model server instead of the configured ones",
  },
} as const;

/**
 * The settings that the flag stands for; none when it was not given. Fallback hosts are switched off: a
 * server that was named and is down must not be replaced in silence (lesson 43).
 * @param device `host`, `host:port`, `[::1]:port`, or a bare IPv6 address
 * @throws OptaError usage
 */
export function deviceSettings(device: string | undefined): ConfigFlags {
  if (device === undefined) return {};
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?$/.exec(device);
  const bareIpv6 = /^[0-9a-fA-F.]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(device);
  const host = bareIpv6 ? device : (match?.[1] ?? match?.[2]);
  const port = match?.[3] === undefined ? undefined : Number(match[3]);
  if (host === undefined || (port !== undefined && (port < 1 || port > 65_535))) {
    const message = `--device is host or host:port, without a scheme or path (got "${device}")`;
    throw new OptaError("usage", message, "for example: --device studio.local:1234");
  }
  return { "connection.host": host, "connection.port": port, "connection.fallbackHosts": [] };
}
