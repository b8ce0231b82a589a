-- Features: what a customer can use, metered or a mere switch.

create table feature (
  id               text primary key,
  namespace        text not null,
  -- Compares bytes, so that lists have one order on every engine.
  key              text collate "C" not null check (key <> ''),
  name             text not null,
  metadata         jsonb check (jsonb_typeof(metadata) = 'object'),
  -- Null for a feature that is a mere switch.
  meter_id         text references meter (id),
  -- Conditions on group-by keys of the meter, as they were sent: {key: text}, {key: filter}.
  simple_filters   jsonb check (jsonb_typeof(simple_filters) = 'object'),
  advanced_filters jsonb check (jsonb_typeof(advanced_filters) = 'object'),
  -- {type: manual, amount} or {type: llm, ...}; amounts are texts.
  unit_cost        jsonb check (jsonb_typeof(unit_cost) = 'object'),
  created_at       bigint not null,
  updated_at       bigint not null,
  archived_at      bigint,
  check (meter_id is not null or (simple_filters is null and advanced_filters is null))
);

-- A key is free again once its feature is archived.
create unique index feature_key on feature (namespace, key) where archived_at is null;

create index feature_meter on feature (meter_id);
