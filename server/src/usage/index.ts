/** Usage: meter queries over stored events. */

export { explainEvents } from "./explain.ts";
export { usageOperations, usageReply } from "./http.ts";
export { type UsageAnswer, UsageService } from "./service.ts";
