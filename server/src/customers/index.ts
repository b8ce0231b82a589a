/** Customers: whose usage it is, by key and subject keys; and the subjects of events as entities. */

export { customerOperations } from "./http.ts";
export { type CustomerParticipant, CustomerService, type CustomerServiceOptions } from "./customer-service.ts";
export { customerBody } from "./wire.ts";
export type { Customer, CustomerChange } from "./customer.ts";
export { subjectBody, subjectOperations } from "./subjects/http.ts";
export { SubjectService } from "./subjects/subject-service.ts";
