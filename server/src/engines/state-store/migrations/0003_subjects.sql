-- Subjects as entities: what is known about the subjects of events, such as a name for people.

create table subject (
  id                      text primary key,
  namespace               text not null,
  -- The `subject` of events. Compares bytes, so that lists have one order on every engine.
  key                     text collate "C" not null check (key <> ''),
  display_name            text,
  metadata                jsonb check (jsonb_typeof(metadata) = 'object'),
  stripe_customer_id      text check (starts_with(stripe_customer_id, 'cus_')),
  current_period_start_at bigint,
  current_period_end_at   bigint,
  created_at              bigint not null,
  updated_at              bigint not null,
  deleted_at              bigint
);

-- A key is free again after deletion.
create unique index subject_key on subject (namespace, key) where deleted_at is null;
