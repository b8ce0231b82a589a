-- Holds: amounts of an entitlement's balance that are kept for one caller before its usage counts. Reservations hold the
-- amount of one piece of work, leases lend a slice that the holder spends by itself.
--
-- A hold ends by the clock, not by a job: what counts at an instant follows from these columns. Rows are marked afterwards.

create table hold (
  id                 text primary key,
  namespace          text not null,
  entitlement_id     text not null,
  customer_id        text not null,
  feature_key        text collate "C" not null,
  kind               text not null check (kind in ('reservation', 'lease')),
  -- The caller's name for a reservation.
  key                text collate "C",
  -- Canonical decimal texts: what was reserved or granted, and what of it was used.
  amount             text not null,
  used               text not null default '0',
  status             text not null check (status in ('held', 'confirmed', 'released', 'returned', 'expired')),
  expires_at         bigint not null,
  -- From here on it holds nothing: a lease has a grace for events that are on their way.
  counts_until_at    bigint not null check (counts_until_at >= expires_at),
  lasts_micros       bigint not null check (lasts_micros > 0),
  -- What stays held until events up to this place in the log are part of the balance; null when nothing does.
  settling_amount    text,
  settling_partition integer,
  settling_offset    bigint,
  metadata           jsonb check (jsonb_typeof(metadata) = 'object'),
  created_at         bigint not null,
  ended_at           bigint,
  constraint hold_settling_whole check (
    (settling_amount is null) = (settling_offset is null) and (settling_amount is null) = (settling_partition is null)
  )
);

-- A repeated call finds its reservation, and two calls at once make one.
create unique index hold_key on hold (entitlement_id, key) where key is not null;
-- What memory is filled with at a start, and again for one entitlement after a failure.
create index hold_counting on hold (entitlement_id) where status = 'held' or settling_amount is not null;
-- Lists, newest first.
create index hold_newest on hold (entitlement_id, kind, created_at desc, id desc);
-- Upkeep: what expired, and what is past its retention.
create index hold_expiry on hold (counts_until_at) where status = 'held';
create index hold_age on hold (ended_at) where status <> 'held';
