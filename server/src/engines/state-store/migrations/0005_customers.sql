-- Customers: whose usage it is. An event belongs to the customer whose key is its subject, else to the one that has its
-- subject among its subject keys.

create table customer (
  id              text primary key,
  namespace       text not null,
  -- Compares bytes, as subjects of events do.
  key             text collate "C" check (key <> ''),
  name            text collate "C" not null check (name <> ''),
  description     text,
  primary_email   text,
  currency        text check (currency ~ '^[A-Z]{3}$'),
  billing_address jsonb check (jsonb_typeof(billing_address) = 'object'),
  metadata        jsonb check (jsonb_typeof(metadata) = 'object'),
  annotations     jsonb check (jsonb_typeof(annotations) = 'object'),
  created_at      bigint not null,
  updated_at      bigint not null,
  deleted_at      bigint
);

-- A key is free again after deletion.
create unique index customer_key on customer (namespace, key) where deleted_at is null;

create table customer_subject (
  customer_id text not null references customer (id) on delete cascade,
  namespace   text not null,
  subject_key text collate "C" not null check (subject_key <> ''),
  -- When the customer was deleted: its last subject keys stay on record, but are free for others.
  released_at bigint,
  primary key (customer_id, subject_key)
);

-- An event must never belong to two customers.
create unique index customer_subject_key on customer_subject (namespace, subject_key) where released_at is null;
