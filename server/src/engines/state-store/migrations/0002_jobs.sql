-- Jobs: the outbox, named leases with fencing tokens, and recurring jobs.

-- A message commits together with the state change that it announces. A delivered message is deleted.
create table outbox (
  id         bigint generated always as identity primary key,
  topic      text not null,
  payload    jsonb not null,
  status     text not null default 'pending' check (status in ('pending', 'dead')),
  attempts   integer not null default 0,
  -- When the message may be claimed next. Claiming moves it ahead, so a claimer that dies gives it back by itself.
  due_at     bigint not null,
  created_at bigint not null,
  last_error text
);

create index outbox_due on outbox (due_at, id) where status = 'pending';

-- A row stays after release, because its token must never go back.
create table lease (
  name          text primary key,
  holder        text not null,
  fencing_token bigint not null,
  expires_at    bigint not null
);

create table scheduled_job (
  name             text primary key,
  -- The due time that runs next; it advances only when that run succeeded.
  due_at           bigint not null,
  -- When to try it: due_at, or later after a failure.
  try_at           bigint not null,
  failures         integer not null default 0,
  last_error       text,
  last_due_at      bigint,
  last_finished_at bigint
);
