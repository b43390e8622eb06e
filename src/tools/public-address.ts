// Which network addresses a model may make us talk to: public unicast ones. Everything that names this
// machine, its network, or nobody is refused, whatever its spelling. Asks the resolver, opens no connection.

/** Addresses of a host name, in the resolver's order of preference; throws when there are none. */
export type Resolve = (hostname: string) => Promise<readonly string[]>;

/** The system's resolver. */
export async function resolveBySystem(hostname: string): Promise<readonly string[]> {
  const found = await Bun.dns.lookup(hostname);
  return found.map(({ address }) => address);
}

/**
 * The kind of a non-public address (`loopback`, `private`, …: the words of ipaddr.js), or undefined for a public
 * one. IPv4 inside IPv6 (mapped, NAT64, 6to4, Teredo) is never public: where it leads is decided elsewhere.
 */
export async function nonPublicKind(address: string): Promise<string | undefined> {
  // On demand: 1 ms of every start otherwise, for a tool that few runs use.
  const { default: ipaddr } = await import("ipaddr.js");
  const bare = address.replace(/^\[|\]$/g, "").replace(/%.*$/, "");
  if (!ipaddr.isValid(bare)) return "not an address";
  const parsed = ipaddr.parse(bare);
  const range = parsed.range();
  if (range !== "unicast") return range;
  // Global unicast is 2000::/3 and nothing else so far (IANA, ipv6-address-space).
  const isGlobal = parsed.kind() === "ipv4" || ((parsed.toByteArray()[0] ?? 0) & 0xe0) === 0x20;
  return isGlobal ? undefined : "unassigned";
}
