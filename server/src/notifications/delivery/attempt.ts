/**
 * One attempt to deliver a webhook over HTTP.
 *
 * Invariants: the address that is checked is the one that is connected to, because the name is resolved once, by the
 * request itself; redirects are not followed; a receiver can neither hold the attempt longer than the timeout nor make it
 * read more than a bounded answer. An attempt never rejects: whatever goes wrong is its outcome.
 */

import { lookup as dnsLookup } from "node:dns/promises";
import { type ClientRequestArgs, type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { callbackify } from "node:util";
import type { Clock } from "../../kernel/clock.ts";
import type { AddressRules } from "../channels/addresses.ts";

/** An address that a host name stands for. */
export interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}

/** All addresses of a host name. Rejects when there are none. */
export type Resolve = (hostname: string) => Promise<readonly ResolvedAddress[]>;

/** Asks the operating system. */
export const systemResolve: Resolve = async (hostname) => await dnsLookup(hostname, { all: true });

export interface AttemptOptions {
  readonly addresses: AddressRules;
  readonly resolve: Resolve;
  /** For everything together: resolving, connecting, sending, and reading the answer. */
  readonly timeoutMs: number;
  /** For a `Retry-After` that is a date. */
  readonly clock: Clock;
  /** Aborted when the server ends. */
  readonly signal: AbortSignal;
}

export interface AttemptRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface AttemptOutcome {
  readonly isSuccess: boolean;
  /** Null when no complete answer arrived. */
  readonly statusCode: number | null;
  /** The beginning of the answer's body, or why there is no answer. */
  readonly body: string;
  readonly durationMs: number;
  /** `Retry-After` of the answer, on 429 and 503. */
  readonly retryAfterMs: number | null;
}

/** Of the answer's body, this much is kept, */
const KEPT_BODY_BYTES = 4096;
/** and this much is read, so that a connection ends in order where the answer is short. */
const READ_BODY_BYTES = 65_536;
const MAX_RETRY_AFTER_MS = 24 * 3_600_000;

/** Sends a POST and resolves with what came of it. */
export async function attemptDelivery(
  { url, headers, body }: AttemptRequest,
  options: AttemptOptions,
): Promise<AttemptOutcome> {
  const startMs = performance.now();
  const ended = (outcome: Omit<AttemptOutcome, "durationMs">): AttemptOutcome => ({
    ...outcome,
    body: storable(outcome.body),
    durationMs: Math.round(performance.now() - startMs),
  });
  const timeout = AbortSignal.timeout(options.timeoutMs);
  try {
    const target = new URL(url);
    const refusal = options.addresses.refusalOfHost(target.hostname);
    if (refusal !== null) throw new Error(`not sent to ${target.hostname}: ${refusal}`);
    const response = await send(target, headers, body, {
      lookup: checkedLookup(options),
      signal: AbortSignal.any([timeout, options.signal]),
    });
    const { statusCode = 0 } = response;
    const text = await readBeginning(response);
    return ended({
      isSuccess: statusCode >= 200 && statusCode < 300,
      statusCode,
      body: text,
      retryAfterMs: [429, 503].includes(statusCode)
        ? retryAfterMs(response.headers["retry-after"], options.clock)
        : null,
    });
  } catch (error) {
    const reason = timeout.aborted ? `no complete answer within ${options.timeoutMs / 1000} s` : reasonOf(error);
    return ended({ isSuccess: false, statusCode: null, body: reason, retryAfterMs: null });
  }
}

async function send(
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: string,
  options: ClientRequestArgs,
): Promise<IncomingMessage> {
  const bytes = Buffer.from(body);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const request = (url.protocol === "https:" ? httpsRequest : httpRequest)(url, {
    ...options,
    method: "POST",
    // A connection of its own: one that is kept could lead to an address that was allowed when it was opened.
    agent: false,
    headers: { ...headers, "content-length": String(bytes.length) },
  });
  request.once("response", resolve);
  // Stays, because an aborted request may fail again after its answer began.
  request.on("error", reject);
  request.end(bytes);
  return await promise;
}

/** Resolves a name once for the connection, and fails when one of its addresses is refused. */
function checkedLookup({ addresses, resolve }: AttemptOptions): LookupFunction {
  const checked = callbackify(async (hostname: string) => {
    const resolved = await resolve(hostname);
    const refusal = resolved.map(({ address }) => addresses.refusal(address)).find((reason) => reason !== null);
    if (refusal !== undefined) throw new Error(`not sent to ${hostname}: ${refusal}`);
    const [first] = resolved;
    if (first === undefined) throw new Error(`${hostname} has no address`);
    return { first, all: resolved.map(({ address }) => ({ address, family: isIP(address) })) };
  });
  return (hostname, { all: wantsAll }, callback) => {
    // The types hide that there is no result when there is an error.
    checked(hostname, (error: Error | null, result?: { first: ResolvedAddress; all: ResolvedAddress[] }) => {
      if (result === undefined) callback(error ?? new Error(`${hostname} was not resolved`), "");
      else if (wantsAll === true) callback(null, result.all);
      else callback(null, result.first.address, result.first.family);
    });
  };
}

/** The beginning of the body; the rest is read up to a limit and then cut off. */
async function readBeginning(response: IncomingMessage): Promise<string> {
  const kept: Buffer[] = [];
  let read = 0;
  for await (const chunk of response) {
    const bytes: Buffer = chunk;
    if (read < KEPT_BODY_BYTES) kept.push(bytes.subarray(0, KEPT_BODY_BYTES - read));
    read += bytes.length;
    if (read >= READ_BODY_BYTES) break;
  }
  response.destroy();
  // `stream` leaves out a character that was cut in two.
  return new TextDecoder().decode(Buffer.concat(kept), { stream: true });
}

/** The state store's text has no NUL characters; a receiver's answer may. */
function storable(text: string): string {
  return text.replaceAll("\0", "\u{FFFD}").toWellFormed();
}

/** Seconds, or the date of an HTTP header; null for anything else, and never more than a day. */
function retryAfterMs(header: string | undefined, clock: Clock): number | null {
  if (header === undefined) return null;
  const ms = /^[0-9]{1,9}$/u.test(header) ? Number(header) * 1000 : Date.parse(header) - clock.now() / 1000;
  return Number.isNaN(ms) ? null : Math.round(Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS));
}

function reasonOf(error: unknown): string {
  // Trying several addresses ends in one error of all of them, which has no sentence of its own.
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  return error instanceof Error ? error.message : String(error);
}
