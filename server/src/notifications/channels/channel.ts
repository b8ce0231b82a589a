/** Channels: where webhooks go and what signs them. Pure types and rules; see README.md for the meaning. */

import { validateHeaderName, validateHeaderValue } from "node:http";
import type { StringMap } from "../../engines/state-store/index.ts";
import { isStorableText } from "../../engines/state-store/index.ts";
import type { FieldError } from "../../kernel/fault.ts";
import { type Instant, plusMicros } from "../../kernel/instant.ts";
import { SIGNATURE_HEADERS } from "../delivery/signature.ts";
import type { AddressRules } from "./addresses.ts";

export interface Channel {
  readonly id: string;
  readonly name: string;
  readonly isDisabled: boolean;
  readonly url: string;
  readonly customHeaders: StringMap;
  /** `whsec_` and base64. */
  readonly signingSecret: string;
  /** Newest first. */
  readonly formerSecrets: readonly FormerSecret[];
  readonly metadata: StringMap | null;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
  readonly deletedAt: Instant | null;
}

/** A secret that still signs, so that receivers can change theirs without losing webhooks. */
export interface FormerSecret {
  readonly secret: string;
  /** Exclusive, in microseconds. */
  readonly until: number;
}

/** A channel as a client wants it. */
export interface ChannelDraft {
  readonly name: string;
  readonly isDisabled: boolean;
  readonly url: string;
  readonly customHeaders: StringMap;
  /** With or without `whsec_`; null: made by the server, or kept. */
  readonly signingSecret: string | null;
  readonly metadata: StringMap | null;
}

const SECRET_PREFIX = "whsec_";
const SECRET_BYTES = 32;
/** How long a replaced secret keeps signing. */
const SECRET_OVERLAP_MICROS = 24 * 3_600_000_000;
const MAX_URL_LENGTH = 2048;

/** What Tallystick sets itself, and what says how a message travels: a value of one's own would break the request. */
const RESERVED_HEADERS: ReadonlySet<string> = new Set([
  ...SIGNATURE_HEADERS,
  "host",
  "content-length",
  "content-type",
  "connection",
  "expect",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** What is wrong with a draft beyond the shape of its fields; empty when nothing is. */
export function channelErrors(draft: ChannelDraft, addresses: AddressRules): readonly FieldError[] {
  return [
    ...textErrors("$.name", draft.name),
    ...urlErrors(draft.url, addresses),
    ...Object.entries(draft.customHeaders).flatMap(([name, value]) => headerErrors(name, value)),
    ...secretErrors(draft.signingSecret),
    ...Object.entries(draft.metadata ?? {}).flatMap((entry) => textErrors(`$.metadata.${entry[0]}`, ...entry)),
  ];
}

/** The NUL character and halves of surrogate pairs, which the state store cannot hold. */
export function textErrors(field: string, ...texts: readonly string[]): readonly FieldError[] {
  if (texts.every(isStorableText)) return [];
  const message = "the text must not contain the NUL character or half a surrogate pair";
  return [{ code: "invalid_text", message, field }];
}

function urlErrors(text: string, addresses: AddressRules): readonly FieldError[] {
  const invalid = (message: string): readonly FieldError[] => [{ code: "invalid_url", message, field: "$.url" }];
  const url = text.length > MAX_URL_LENGTH || !isStorableText(text) ? null : URL.parse(text);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) {
    return invalid(
      `url must be an absolute http or https URL of at most ${MAX_URL_LENGTH} characters, such as https://example.com/hooks`,
    );
  }
  const refusal = addresses.refusalOfHost(url.hostname);
  return refusal === null ? [] : invalid(`url must not be ${text}: ${refusal}; use an address on the public internet`);
}

function headerErrors(name: string, value: string): readonly FieldError[] {
  const field = `$.customHeaders[${JSON.stringify(name)}]`;
  const invalid = (message: string): readonly FieldError[] => [{ code: "invalid_header", message, field }];
  if (RESERVED_HEADERS.has(name.toLowerCase())) {
    return invalid(`the header ${name} is set by the server; leave it out of customHeaders`);
  }
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
  } catch {
    return invalid(
      `${JSON.stringify(name)}: ${JSON.stringify(value)} is not an HTTP header; use a name of letters, digits and dashes, ` +
        "and a value of printable Latin-1 characters",
    );
  }
  return [];
}

function secretErrors(secret: string | null): readonly FieldError[] {
  if (secret === null) return [];
  const base64 = withoutPrefix(secret);
  const isValid = Buffer.from(base64, "base64").toString("base64") === base64;
  if (isValid) return [];
  const message = "signingSecret must be valid base64, padded with =; leave it out to have one made";
  return [{ code: "invalid_signing_secret", message, field: "$.signingSecret" }];
}

function withoutPrefix(secret: string): string {
  return secret.startsWith(SECRET_PREFIX) ? secret.slice(SECRET_PREFIX.length) : secret;
}

/** The secret of a new channel, with its prefix: the one given, or one of random bytes. */
export function secretOf(given: string | null, randomBytes: (count: number) => Uint8Array): string {
  return (
    SECRET_PREFIX + (given === null ? Buffer.from(randomBytes(SECRET_BYTES)).toString("base64") : withoutPrefix(given))
  );
}

/** The secrets after a change at `at`: the new one signs, the old one does so too for a day. */
export function changedSecrets(
  channel: Pick<Channel, "signingSecret" | "formerSecrets">,
  given: string | null,
  at: Instant,
): Pick<Channel, "signingSecret" | "formerSecrets"> {
  const valid = channel.formerSecrets.filter(({ until }) => until > at);
  const secret = given === null ? channel.signingSecret : SECRET_PREFIX + withoutPrefix(given);
  if (secret === channel.signingSecret) return { signingSecret: secret, formerSecrets: valid };
  const former = { secret: channel.signingSecret, until: plusMicros(at, SECRET_OVERLAP_MICROS) };
  return { signingSecret: secret, formerSecrets: [former, ...valid.filter((one) => one.secret !== secret)] };
}

/** The secrets that sign at an instant, newest first. */
export function secretsAt(channel: Pick<Channel, "signingSecret" | "formerSecrets">, at: Instant): readonly string[] {
  return [
    channel.signingSecret,
    ...channel.formerSecrets.filter(({ until }) => until > at).map(({ secret }) => secret),
  ];
}
