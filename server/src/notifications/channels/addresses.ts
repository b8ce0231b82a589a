/**
 * Which network addresses webhooks may be sent to.
 *
 * Whoever may create a channel can make this server send requests, so by default none goes to an address that only this
 * server's own network can reach: that is how a webhook would read a cloud's metadata service or an internal tool.
 *
 * Invariants: what is checked is the address that is connected to, at every attempt; IPv4 addresses written as IPv6 ones
 * are checked as what they are; configured networks are refused also where private ones are allowed.
 */

import { BlockList, isIP } from "node:net";

export interface AddressRuleOptions {
  /** Networks in CIDR notation that are refused. */
  readonly denyNetworks: readonly string[];
  /** Whether private, loopback and other special-purpose addresses are allowed. */
  readonly allowPrivateNetworks: boolean;
}

/** Special-purpose networks that the public internet does not route (IANA's registries), and tunnels into them. */
const SPECIAL_NETWORKS = [
  "0.0.0.0/8", // this host
  "10.0.0.0/8", // private
  "100.64.0.0/10", // shared by carriers
  "127.0.0.0/8", // loopback
  "169.254.0.0/16", // link-local
  "172.16.0.0/12", // private
  "192.0.0.0/24", // protocol assignments
  "192.0.2.0/24", // documentation
  "192.88.99.0/24", // 6to4 relays
  "192.168.0.0/16", // private
  "198.18.0.0/15", // benchmarks
  "198.51.100.0/24", // documentation
  "203.0.113.0/24", // documentation
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, and broadcast
  "::/96", // unspecified, loopback, IPv4-compatible
  "64:ff9b::/96", // IPv4 behind a translator
  "64:ff9b:1::/48", // the same, local
  "100::/64", // discard
  "2001::/23", // protocol assignments, Teredo
  "2001:db8::/32", // documentation
  "2002::/16", // 6to4: contains an IPv4 address
  "3fff::/20", // documentation
  "5f00::/16", // segment routing
  "fc00::/7", // unique local
  "fe80::/10", // link-local
  "fec0::/10", // site-local
  "ff00::/8", // multicast
];

/** A network in CIDR notation, or null when the text is none. */
export function parseNetwork(text: string): { address: string; prefix: number; family: "ipv4" | "ipv6" } | null {
  const match = /^([0-9a-fA-F:.]+)\/([0-9]{1,3})$/u.exec(text);
  const address = match?.[1] ?? "";
  const prefix = Number(match?.[2]);
  const version = isIP(address);
  if (version === 0 || prefix > (version === 4 ? 32 : 128)) return null;
  return { address, prefix, family: version === 4 ? "ipv4" : "ipv6" };
}

export class AddressRules {
  readonly #denied: BlockList;
  readonly #special: BlockList | null;

  /** Networks that are not in CIDR notation are refused by the configuration before. */
  constructor({ denyNetworks, allowPrivateNetworks }: AddressRuleOptions) {
    this.#denied = blockList(denyNetworks);
    this.#special = allowPrivateNetworks ? null : blockList(SPECIAL_NETWORKS);
  }

  /** Why webhooks must not be sent to this IP address, as a clause; null when they may. */
  refusal(address: string): string | null {
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (this.#denied.check(address, family))
      return `${address} is in a network that notifications.denyNetworks refuses`;
    if (this.#special?.check(address, family) === true) {
      return `${address} is a private, loopback or special-purpose address, which notifications.allowPrivateNetworks allows`;
    }
    return null;
  }

  /** As `refusal`, for the host name of a URL before it is resolved: an address, or a name that means this machine. */
  refusalOfHost(hostname: string): string | null {
    const address = hostname.replace(/^\[(.*)\]$/u, "$1");
    if (isIP(address) !== 0) return this.refusal(address);
    const name = hostname.toLowerCase().replace(/\.$/u, "");
    if (name === "localhost" || name.endsWith(".localhost")) return this.refusal("127.0.0.1");
    return null;
  }
}

function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const text of networks) {
    const network = parseNetwork(text);
    if (network !== null) list.addSubnet(network.address, network.prefix, network.family);
  }
  return list;
}
