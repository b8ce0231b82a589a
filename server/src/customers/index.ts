/** Customers: whose usage it is. So far the subjects of events as entities. */

export { subjectOperations } from "./http.ts";
export { SubjectService } from "./subject-service.ts";
