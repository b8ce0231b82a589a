/** The portal's verbs: making, listing and revoking tokens, letting requests in, and querying usage with a token. */

import type { MeterQueryRequest } from "@tallystick/contract";
import type { Kysely } from "kysely";
import { type Database, isStorableText } from "../engines/state-store/index.ts";
import type { Clock } from "../kernel/clock.ts";
import { Fault, type FieldError } from "../kernel/fault.ts";
import { type Instant, instantFromMicros, plusMicros } from "../kernel/instant.ts";
import type { MeterService } from "../meters/index.ts";
import type { UsageAnswer, UsageService } from "../usage/index.ts";
import { RateLimit } from "./rate-limit.ts";
import { TokenMemory } from "./token-memory.ts";
import {
  deleteExpired,
  findToken,
  insertToken,
  listTokens,
  markUsed,
  type PortalToken,
  type RevocationTarget,
  revokeTokens,
} from "./token-store.ts";
import { bearerValue, signToken, unixSeconds, verifyToken } from "./token.ts";

/** Expired tokens stay on the list for 30 days. */
const LISTED_MICROS = 30 * 24 * 3_600_000_000;
const USED_EVERY_MICROS = 60_000_000;
const MAX_SLUGS = 100;
/** As long as the subject of an event may be. */
const MAX_SUBJECT_BYTES = 1024;
/** Rows of one query; a browser shows charts, not exports. */
const MAX_ROWS = 10_000;
const CUSTOMER_ID = "customer_id";

export interface PortalServiceOptions {
  readonly db: Kysely<Database>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly meters: Pick<MeterService, "get">;
  readonly usage: Pick<UsageService, "query">;
  /** False: every verb is refused. */
  readonly isEnabled: boolean;
  /** The first signs, all verify. */
  readonly secrets: () => Promise<readonly Uint8Array[]>;
  readonly defaultLifetimeMs: number;
  /** Undefined: any lifetime may be asked for. */
  readonly maxLifetimeMs: number | undefined;
  readonly requestsPerMinute: number;
}

/** What a client may ask of a token. */
export interface TokenDraft {
  readonly subject: string;
  /** Cut to whole seconds. */
  readonly expiresAt?: Instant | undefined;
  /** Undefined: all meters. */
  readonly allowedMeterSlugs?: readonly string[] | undefined;
}

/** What a request with a valid token may see. */
export interface PortalPass {
  readonly subject: string;
  /** Empty: all meters. */
  readonly allowedMeterSlugs: readonly string[];
}

/** What a portal query may ask; whose usage is decided by the pass. */
export type PortalQuery = Omit<MeterQueryRequest, "clientId" | "subject" | "filterCustomerId">;

export class PortalService {
  readonly #options: PortalServiceOptions;
  readonly #memory = new TokenMemory();
  readonly #rates: RateLimit;

  constructor(options: PortalServiceOptions) {
    this.#options = options;
    this.#rates = new RateLimit(options.requestsPerMinute);
  }

  /** Fault: `portal_disabled`. */
  requireEnabled(): void {
    if (this.#options.isEnabled) return;
    const message = "the portal is switched off: set portal.enabled, and portal.tokenSecret, in the configuration";
    throw new Fault("not_implemented", "portal_disabled", message);
  }

  /** Makes a token; the text is given here and never again. Faults: `invalid_token_request`, `meter_not_found`. */
  async create(draft: TokenDraft): Promise<{ readonly token: PortalToken; readonly text: string }> {
    const { db, namespace, clock, newId, secrets } = this.#options;
    const now = clock.now();
    const expiresAt = this.#expiryOf(draft, now);
    const errors = [...subjectErrors(draft.subject), ...slugErrors(draft), ...this.#expiryErrors(expiresAt, now)];
    if (errors.length > 0) {
      const message = errors.map((error) => error.message).join("; ");
      throw new Fault("validation", "invalid_token_request", message, { fields: errors });
    }
    const allowed = draft.allowedMeterSlugs === undefined ? null : [...new Set(draft.allowedMeterSlugs)];
    for (const slug of allowed ?? []) await this.#liveMeter(slug);
    const token: PortalToken = {
      id: newId(),
      namespace,
      subject: draft.subject,
      allowedMeterSlugs: allowed,
      createdAt: now,
      expiresAt,
      revokedAt: null,
      lastUsedAt: null,
    };
    const [secret] = await secrets();
    if (secret === undefined) throw new Error("an enabled portal has a secret");
    const text = await signToken({ ...token, allowedMeterSlugs: allowed ?? [], issuedAt: now }, secret);
    await insertToken(db, token);
    return { token, text };
  }

  #expiryOf({ expiresAt }: TokenDraft, now: Instant): Instant {
    const { defaultLifetimeMs } = this.#options;
    return instantFromMicros(unixSeconds(expiresAt ?? plusMicros(now, defaultLifetimeMs * 1000)) * 1_000_000);
  }

  #expiryErrors(expiresAt: Instant, now: Instant): readonly FieldError[] {
    const { maxLifetimeMs } = this.#options;
    const field = "$.expiresAt";
    if (expiresAt <= now) return [{ code: "invalid_expiry", message: "expiration date must be in the future", field }];
    if (maxLifetimeMs === undefined || expiresAt <= now + maxLifetimeMs * 1000) return [];
    const message = `expiration date must be at most ${maxLifetimeMs / 1000} seconds ahead, as portal.maxTokenExpiration says`;
    return [{ code: "invalid_expiry", message, field }];
  }

  /** The newest tokens that are not revoked, expired ones for 30 days. */
  async list(limit: number): Promise<readonly PortalToken[]> {
    const { db, namespace, clock } = this.#options;
    return await listTokens(db, namespace, { expiringAfter: plusMicros(clock.now(), -LISTED_MICROS), limit });
  }

  /** Revokes tokens, effective at once. What is unknown or revoked already has no effect. Fault: `nothing_to_invalidate`. */
  async invalidate(target: RevocationTarget): Promise<void> {
    const { db, namespace, clock } = this.#options;
    if (target.id === undefined && target.subject === undefined) {
      const message = "say which tokens to invalidate: send id, or subject for all of its tokens";
      const fields = [{ code: "nothing_to_invalidate", message, field: "$.id" }];
      throw new Fault("validation", "nothing_to_invalidate", message, { fields });
    }
    await this.#memory.revoking(() => revokeTokens(db, namespace, target, clock.now()));
  }

  /**
   * Lets a request in by its `Authorization` header. Faults: `unauthorized` with the reason as its sentence, or
   * `rate_limited` when the token asked too often.
   */
  async authenticate(authorization: string | undefined): Promise<PortalPass> {
    const { db, namespace, clock, secrets } = this.#options;
    const bearer = bearerValue(authorization);
    if ("refused" in bearer) throw unauthorized(bearer.refused);
    const now = clock.now();
    const verified = await verifyToken(bearer.value, await secrets(), { namespace, now });
    if ("refused" in verified) throw unauthorized(verified.refused);
    const { id, subject, allowedMeterSlugs } = verified.claims;
    const record = await this.#memory.get(id, now, () => findToken(db, namespace, id));
    if (record === null || record.revokedAt !== null) throw unauthorized("invalid token: revoked");
    const waitSeconds = this.#rates.count(id, now);
    if (waitSeconds > 0) {
      const message = `too many requests with this token; try again in ${waitSeconds} seconds`;
      throw new Fault("rate_limited", "rate_limited", message, { retryAfterSeconds: waitSeconds });
    }
    if (record.lastUsedAt === null || now >= record.lastUsedAt + USED_EVERY_MICROS) {
      this.#memory.used(record, now);
      await markUsed(db, id, now);
    }
    return { subject, allowedMeterSlugs };
  }

  /**
   * Answers a meter query about the pass's subject and nobody else. Faults: `unauthorized` for a meter that the token does
   * not allow, `meter_not_found`, those of planning a query, `result_too_large`.
   */
  async query(
    pass: PortalPass,
    slug: string,
    query: PortalQuery,
  ): Promise<{ readonly answer: UsageAnswer; readonly request: MeterQueryRequest }> {
    if (pass.allowedMeterSlugs.length > 0 && !pass.allowedMeterSlugs.includes(slug)) {
      throw unauthorized("meter slug not allowed");
    }
    const meter = await this.#liveMeter(slug);
    if (query.groupBy?.includes(CUSTOMER_ID) === true) {
      const message = "invalid group by: customer_id; a portal token reads the usage of one subject";
      const fields = [{ code: "invalid_group_by", message, field: "$.groupBy" }];
      throw new Fault("validation", "invalid_group_by", message, { fields });
    }
    const { from, to, windowSize, windowTimeZone, filterGroupBy, advancedMeterGroupByFilters, groupBy } = query;
    // Named one by one, so that nothing else that a request says about whose usage it wants gets through.
    const request: MeterQueryRequest = {
      from,
      to,
      windowSize,
      windowTimeZone,
      filterGroupBy,
      advancedMeterGroupByFilters,
      groupBy,
      subject: [pass.subject],
    };
    try {
      return { request, answer: await this.#options.usage.query(meter.id, request, { maxRows: MAX_ROWS }) };
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== "result_too_large") throw error;
      const message = `the result has more than ${MAX_ROWS} rows; group by less or ask for a shorter period`;
      throw new Fault("validation", "result_too_large", message, { cause: error });
    }
  }

  /** Forgets tokens that are off the list; resolves with how many. */
  async forgetOld(): Promise<number> {
    const { db, clock } = this.#options;
    return await deleteExpired(db, plusMicros(clock.now(), -LISTED_MICROS));
  }

  /** Fault: `meter_not_found`, also for the id of a meter and for a deleted one. */
  async #liveMeter(slug: string) {
    const meter = await this.#options.meters.get(slug);
    if (meter.slug === slug && meter.deletedAt === null) return meter;
    throw new Fault("not_found", "meter_not_found", `meter not found: ${slug}`);
  }
}

function subjectErrors(subject: string): readonly FieldError[] {
  const bytes = Buffer.byteLength(subject);
  const field = "$.subject";
  if (bytes < 1 || bytes > MAX_SUBJECT_BYTES) {
    return [
      { code: "invalid_subject", message: `subject must have 1 to ${MAX_SUBJECT_BYTES} bytes, not ${bytes}`, field },
    ];
  }
  if (isStorableText(subject)) return [];
  const message = "subject must not contain the NUL character or half a surrogate pair";
  return [{ code: "invalid_subject", message, field }];
}

function slugErrors({ allowedMeterSlugs: slugs }: TokenDraft): readonly FieldError[] {
  const field = "$.allowedMeterSlugs";
  if (slugs === undefined) return [];
  if (slugs.length === 0) {
    const message = "slug filter cannot be an empty array when provided; leave it out to allow all meters";
    return [{ code: "invalid_slugs", message, field }];
  }
  if (slugs.length > MAX_SLUGS) {
    const message = `allowedMeterSlugs must have at most ${MAX_SLUGS} items; leave it out to allow all meters`;
    return [{ code: "invalid_slugs", message, field }];
  }
  return slugs.flatMap((slug, index) =>
    slug === "" ? [{ code: "invalid_slugs", message: "a slug must not be empty", field: `${field}[${index}]` }] : [],
  );
}

function unauthorized(reason: string): Fault {
  return new Fault("unauthorized", "unauthorized", reason);
}
