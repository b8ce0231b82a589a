-- Notifications: channels, rules, what they told (events), to whom and how that went (deliveries), which thresholds have
-- fired, and when an entitlement has to be looked at next.

create table notification_channel (
  id              text primary key,
  namespace       text not null,
  type            text not null check (type = 'WEBHOOK'),
  name            text not null,
  is_disabled     boolean not null,
  url             text not null,
  custom_headers  jsonb not null check (jsonb_typeof(custom_headers) = 'object'),
  -- `whsec_` and base64.
  signing_secret  text not null,
  -- Secrets that still sign, newest first: [{secret, until}].
  former_secrets  jsonb not null default '[]' check (jsonb_typeof(former_secrets) = 'array'),
  metadata        jsonb,
  created_at      bigint not null,
  updated_at      bigint not null,
  deleted_at      bigint
);

create index notification_channel_namespace on notification_channel (namespace, id);

create table notification_rule (
  id          text primary key,
  namespace   text not null,
  type        text not null,
  name        text not null,
  is_disabled boolean not null,
  -- [{ref, id, key}]: as given, and what that meant then. Null or empty: every feature.
  features    jsonb not null default '[]' check (jsonb_typeof(features) = 'array'),
  -- [{type, value}], the value as canonical decimal text.
  thresholds  jsonb not null default '[]' check (jsonb_typeof(thresholds) = 'array'),
  metadata    jsonb,
  created_at  bigint not null,
  updated_at  bigint not null,
  deleted_at  bigint
);

create index notification_rule_namespace on notification_rule (namespace, id);

create table notification_rule_channel (
  rule_id    text not null references notification_rule (id) on delete cascade,
  position   integer not null,
  channel_id text not null references notification_channel (id),
  primary key (rule_id, position),
  unique (rule_id, channel_id)
);

create index notification_rule_channel_channel on notification_rule_channel (channel_id);

create table notification_event (
  id           text primary key,
  namespace    text not null,
  type         text not null,
  rule_id      text not null,
  -- The rule as it was, JSON text as answered: numbers in it are exact.
  rule         text not null,
  -- The body of the webhooks, byte for byte.
  payload      text not null,
  annotations  jsonb not null check (jsonb_typeof(annotations) = 'object'),
  feature_id   text,
  feature_key  text,
  subject_id   text,
  subject_key  text,
  -- What must not be told twice; null for tests.
  dedupe_key   text,
  created_at   bigint not null
);

create unique index notification_event_dedupe on notification_event (dedupe_key) where dedupe_key is not null;
create index notification_event_created on notification_event (namespace, created_at, id);

create table notification_delivery (
  event_id    text not null references notification_event (id) on delete cascade,
  channel_id  text not null references notification_channel (id),
  state       text not null check (state in ('PENDING', 'SENDING', 'RESENDING', 'SUCCESS', 'FAILED')),
  reason      text not null default '',
  -- Newest first: [{at, isSuccess, statusCode, body, durationMs, url}].
  attempts    jsonb not null default '[]' check (jsonb_typeof(attempts) = 'array'),
  annotations jsonb not null default '{}' check (jsonb_typeof(annotations) = 'object'),
  -- Attempts since it was started or started anew.
  tries       integer not null default 0,
  -- Counts whoever takes it for an attempt: the outcome of one whose number is not the last does not decide.
  claim       integer not null default 0,
  -- When it is to be taken next, also by the end of a lease; null when it is finished.
  due_at      bigint,
  started_at  bigint not null,
  updated_at  bigint not null,
  primary key (event_id, channel_id)
);

create index notification_delivery_due on notification_delivery (channel_id, due_at) where due_at is not null;

-- Thresholds of the latest period that an entitlement was evaluated in; no row says that all are armed.
create table notification_threshold_state (
  rule_id         text not null references notification_rule (id) on delete cascade,
  entitlement_id  text not null,
  period_start_at bigint not null,
  -- Canonical threshold to {isArmed, epoch}; one that is missing is armed, in epoch 0.
  thresholds      jsonb not null check (jsonb_typeof(thresholds) = 'object'),
  primary key (rule_id, entitlement_id)
);

-- A row per metered entitlement.
create table notification_watch (
  entitlement_id  text primary key,
  namespace       text not null,
  -- The reset point that is to be told next; null when there is none.
  reset_at        bigint,
  -- 'creation': `reset_at` is no reset point, the first one after it is to be found. 'command': a reset that was asked for.
  reset_cause     text not null check (reset_cause in ('creation', 'time', 'command')),
  -- When the reset was asked for, which may be later than its reset point.
  reset_caused_at bigint,
  -- When its value has to be looked at next without any usage: after a change, or at a boundary; null when never.
  evaluate_at     bigint
);

create index notification_watch_reset on notification_watch (namespace, reset_at) where reset_at is not null;
create index notification_watch_evaluate on notification_watch (namespace, evaluate_at) where evaluate_at is not null;

-- Up to which log offset usage was evaluated, per partition: what lies beyond after a crash is evaluated at the next start.
create table notification_progress (
  namespace     text not null,
  partition     integer not null,
  evaluated_upto bigint not null,
  primary key (namespace, partition)
);
