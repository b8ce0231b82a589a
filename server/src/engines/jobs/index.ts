/** The jobs' public face: outbox, leases, recurring jobs, and the shape of every long-running part. */

export { appendToOutbox, OutboxDelivery, reviveMessage } from "./outbox.ts";
export type { NewMessage, OutboxConfig, OutboxHandler, OutboxMessage } from "./outbox.ts";
export { acquireLease, LeasedWork, LeaseLost, releaseLease, renewLease, requireLease, underLease } from "./leases.ts";
export type { Lease, LeaseConfig, LeasedWorkConfig, LeaseRequest, UnderLease } from "./leases.ts";
export { every, Schedule } from "./schedule.ts";
export type { RecurringJob, ScheduleConfig } from "./schedule.ts";
export { Loop, Pause } from "./service.ts";
export type { LoopConfig, Service } from "./service.ts";
