/**
 * Listen addresses: `host:port`, with IPv6 hosts in brackets. A host is always required, because a port alone would leave
 * open whether the whole network may reach the server.
 */

/** Where a server listens. */
export interface ListenAddress {
  /** A host name or IP address; IPv6 without brackets. */
  readonly host: string;
  /** 0 stands for a free port of the system's choice. */
  readonly port: number;
}

const GREATEST_PORT = 65_535;

/** Reads `host:port`; returns a sentence that says what is wrong when it is not one. */
export function parseAddress(text: string): ListenAddress | string {
  if (/^:?\d+$/u.test(text)) {
    const port = text.replace(":", "");
    return `a port alone does not say who may connect: write 127.0.0.1:${port} (this machine) or 0.0.0.0:${port} (everyone)`;
  }
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/u.exec(text);
  if (match === null) {
    return /^[0-9a-fA-F:]*:[0-9a-fA-F:]*:/u.test(text)
      ? "an IPv6 address needs brackets, such as [::1]:8888"
      : "expected host:port, such as 127.0.0.1:8888 or [::1]:8888";
  }
  const port = Number(match[3]);
  if (port > GREATEST_PORT) return `port ${port} is greater than ${GREATEST_PORT}`;
  return { host: match[1] ?? match[2] ?? "", port };
}
