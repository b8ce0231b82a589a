-- Metering: meter definitions, the sink's position, and conflicting arrivals.
--
-- Every `..._at` column is an instant: microseconds since 1970-01-01T00:00:00Z as bigint, exact on every engine and in
-- every driver. `as_time` shows one to a person: select slug, as_time(created_at) from meter;

create function as_time(micros bigint) returns timestamptz
  language sql immutable strict parallel safe
  return timestamptz '1970-01-01 00:00:00+00' + micros * interval '1 microsecond';

create table meter (
  id             text primary key,
  namespace      text not null,
  slug           text not null,
  name           text not null,
  description    text,
  aggregation    text not null
                 check (aggregation in ('SUM', 'COUNT', 'AVG', 'MIN', 'MAX', 'UNIQUE_COUNT', 'LATEST')),
  event_type     text not null check (event_type <> ''),
  event_from     bigint,
  value_property text,
  group_by       jsonb not null default '{}' check (jsonb_typeof(group_by) = 'object'),
  metadata       jsonb check (jsonb_typeof(metadata) = 'object'),
  annotations    jsonb check (jsonb_typeof(annotations) = 'object'),
  -- A change of group_by makes a new version; roll-ups belong to a version.
  version        integer not null default 1 check (version >= 1),
  created_at     bigint not null,
  updated_at     bigint not null,
  deleted_at     bigint,
  constraint meter_value_property_unless_count check ((aggregation = 'COUNT') = (value_property is null))
);

-- A slug is free again after deletion.
create unique index meter_slug on meter (namespace, slug) where deleted_at is null;
-- Which meters look at an event that arrives.
create index meter_event_type on meter (namespace, event_type);

-- The batches of the sink: boundaries are recorded before anything else happens, so that a replay takes the same ones.
create table sink_batch (
  partition   integer not null,
  from_offset bigint not null,
  to_offset   bigint not null,
  stored_at   bigint not null,
  status      text not null check (status in ('recorded', 'inserted')),
  primary key (partition, from_offset),
  check (from_offset >= 0 and to_offset >= from_offset)
);

-- At most one batch of a partition is under way.
create unique index sink_batch_recorded on sink_batch (partition) where status = 'recorded';

-- How far each partition is stored: the offset of the last stored event, inclusive.
create table stored_position (
  partition      integer primary key,
  stored_upto    bigint not null check (stored_upto >= 0),
  last_stored_at bigint not null
);

-- Arrivals whose identity was taken by an event with another payload.
create table event_conflict (
  id                 bigint generated always as identity primary key,
  namespace          text not null,
  source             text not null,
  event_id           text not null,
  first_seen_at      bigint not null,
  seen_at            bigint not null,
  first_payload_hash bytea not null,
  payload_hash       bytea not null,
  -- The rejected event as JSON text, byte for byte as received; jsonb would rewrite its numbers.
  event              text not null,
  partition          integer not null,
  log_offset         bigint not null,
  -- A replayed batch records the same conflict again: insert ... on conflict do nothing.
  constraint event_conflict_position unique (partition, log_offset)
);

-- Listing newest first, and the filters by source, identity and time. The identity index also counts the records of an
-- identity; `id` is the tie-breaker of the cursor.
create index event_conflict_newest on event_conflict (namespace, seen_at desc, id desc);
create index event_conflict_source on event_conflict (namespace, source, seen_at desc, id desc);
create index event_conflict_identity on event_conflict (namespace, event_id, source, seen_at desc, id desc);
-- Retention deletes by age over all namespaces.
create index event_conflict_age on event_conflict (seen_at);
