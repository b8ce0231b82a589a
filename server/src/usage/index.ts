/** Usage: meter queries over stored events. */

export { explainEvents } from "./explain.ts";
export { usageOperations } from "./http.ts";
export { UsageService } from "./service.ts";
