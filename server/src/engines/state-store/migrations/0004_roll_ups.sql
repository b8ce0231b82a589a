-- Roll-ups: which rows of the event store's roll-up table count, and up to which log positions they stand for the events.
--
-- A chunk's rows are written before its status says that they count, and deleted only after it says that they do not; so
-- these tables alone decide what a query sees.

create table roll_up (
  id             integer generated always as identity primary key,
  meter_id       text not null references meter (id) on delete cascade,
  meter_version  integer not null,
  -- Keys of the meter's group_by, in the order in which rows hold their texts.
  group_keys     jsonb not null check (jsonb_typeof(group_keys) = 'array'),
  -- [{grain, bySubject, byGroups}]
  levels         jsonb not null check (jsonb_typeof(levels) = 'array'),
  status         text not null check (status in ('building', 'ready')),
  -- Log partition to last offset: of what is in the chunks, or, while building, of what is going to be.
  coverage       jsonb not null check (jsonb_typeof(coverage) = 'object'),
  -- While building: the months that are still to be done, [{from, to}].
  months_left    jsonb not null check (jsonb_typeof(months_left) = 'array'),
  -- Periods whose buckets must not be used, [{from, to}].
  stale          jsonb not null default '[]' check (jsonb_typeof(stale) = 'array'),
  -- [{period: {from, to}, chunk, replaces: [chunk]}]
  rebuilt        jsonb not null default '[]' check (jsonb_typeof(rebuilt) = 'array'),
  -- How many events the meter had when its levels were chosen.
  sized_at_events bigint not null,
  created_at     bigint not null
);

create index roll_up_meter on roll_up (meter_id, meter_version);

create table roll_up_chunk (
  -- Random, so that no chunk ever gets the number of one whose record was lost in a power cut.
  id         bigint primary key,
  -- Without a foreign key: chunks outlive their roll-up until their rows are deleted.
  roll_up    integer not null,
  status     text not null check (status in ('writing', 'counting', 'retired')),
  rows       bigint not null default 0,
  -- When it began, then when it was retired.
  changed_at bigint not null
);

create index roll_up_chunk_roll_up on roll_up_chunk (roll_up);
