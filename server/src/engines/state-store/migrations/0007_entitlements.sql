-- Entitlements: what customers may use; their grants and manual resets.
--
-- Decimals are canonical texts. Structural instants (measuring, anchors, starts of grants, resets, voiding) are whole
-- minutes; those at which an entitlement starts or ends are not.

-- For the exclusion constraint: equality of texts in a GiST index.
create extension if not exists btree_gist;

create table entitlement (
  id                        text primary key,
  namespace                 text not null,
  customer_id               text not null references customer (id),
  feature_id                text not null references feature (id),
  -- The key that the feature had when the entitlement was created; features never change theirs.
  feature_key               text collate "C" not null check (feature_key <> ''),
  type                      text not null check (type in ('metered', 'static', 'boolean')),
  metadata                  jsonb check (jsonb_typeof(metadata) = 'object'),
  annotations               jsonb check (jsonb_typeof(annotations) = 'object'),
  -- Who made it and may end it, if not a client.
  managed_by                text check (managed_by in ('subscription')),
  -- Active on [active_from, least(active_to, deleted_at)).
  active_from               bigint not null,
  active_to                 bigint,
  -- DAY, WEEK, MONTH, YEAR or an ISO 8601 duration, as it was sent.
  usage_interval            text,
  usage_anchor_at           bigint,
  -- static: JSON text as it was sent.
  config                    text,
  -- metered:
  measure_usage_from        bigint,
  issue_amount              text,
  issue_priority            integer,
  is_soft_limit             boolean not null default false,
  preserve_overage_at_reset boolean not null default false,
  -- {operation: multiply | divide, factor: text}
  conversion                jsonb check (jsonb_typeof(conversion) = 'object'),
  -- Grows with every change of what balances are computed from: grants, resets, its own end.
  revision                  integer not null default 1,
  created_at                bigint not null,
  updated_at                bigint not null,
  deleted_at                bigint,
  check ((type = 'metered') = (measure_usage_from is not null)),
  check ((type = 'static') = (config is not null)),
  check ((usage_interval is null) = (usage_anchor_at is null)),
  check (type <> 'metered' or usage_interval is not null)
);

-- At most one entitlement of a customer to a feature is active at any instant, whatever requests race. `least` ignores
-- nulls. An entitlement that ends before it starts is never active: its range is empty, and overlaps nothing.
alter table entitlement add constraint entitlement_active exclude using gist (
  customer_id with =,
  feature_key with =,
  int8range(
    active_from,
    case when least(active_to, deleted_at) < active_from then active_from else least(active_to, deleted_at) end
  ) with &&
);

create index entitlement_customer on entitlement (customer_id, feature_key);
create index entitlement_created on entitlement (namespace, created_at, id);

create table entitlement_reset (
  entitlement_id   text not null references entitlement (id) on delete cascade,
  reset_at         bigint not null,
  -- Of the usage periods from here on.
  anchor_at        bigint not null,
  -- As it was decided then: a later recomputation must repeat it.
  preserve_overage boolean not null,
  created_at       bigint not null,
  primary key (entitlement_id, reset_at)
);

create table entitlement_grant (
  id                   text primary key,
  namespace            text not null,
  entitlement_id       text not null references entitlement (id) on delete cascade,
  amount               text not null,
  priority             integer not null check (priority between 0 and 255),
  effective_at         bigint not null,
  expiration_unit      text check (expiration_unit in ('HOUR', 'DAY', 'WEEK', 'MONTH', 'YEAR')),
  expiration_count     integer,
  expires_at           bigint,
  -- As usage_interval.
  recurrence_interval  text,
  recurrence_anchor_at bigint,
  min_rollover         text not null,
  max_rollover         text not null,
  metadata             jsonb check (jsonb_typeof(metadata) = 'object'),
  annotations          jsonb check (jsonb_typeof(annotations) = 'object'),
  voided_at            bigint,
  created_at           bigint not null,
  updated_at           bigint not null,
  deleted_at           bigint,
  check ((expiration_unit is null) = (expires_at is null)),
  check ((recurrence_interval is null) = (recurrence_anchor_at is null))
);

create index entitlement_grant_entitlement on entitlement_grant (entitlement_id);
create index entitlement_grant_effective on entitlement_grant (namespace, effective_at, id);
