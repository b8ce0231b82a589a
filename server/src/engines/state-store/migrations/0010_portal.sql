-- The portal: which tokens were made, and the secret that signs them unless the configuration names one.

create table portal_token (
  id                  text primary key,
  namespace           text not null,
  -- The `subject` of events. Compares bytes.
  subject             text collate "C" not null check (subject <> ''),
  -- Slugs of the meters that can be queried; null is all.
  allowed_meter_slugs jsonb check (jsonb_typeof(allowed_meter_slugs) = 'array'),
  created_at          bigint not null,
  expires_at          bigint not null,
  revoked_at          bigint,
  -- To the minute.
  last_used_at        bigint
);

create index portal_token_subject on portal_token (namespace, subject) where revoked_at is null;
create index portal_token_list on portal_token (namespace, created_at desc, id desc) where revoked_at is null;
create index portal_token_expiry on portal_token (expires_at);

create table portal_secret (
  -- There is one secret.
  only_one   boolean primary key check (only_one),
  secret     text not null,
  created_at bigint not null
);
