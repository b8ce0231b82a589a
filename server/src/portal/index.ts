/** The portal: tokens with which an operator's customers read their own usage. */

export { PORTAL_METERS_PATH, portalOperations } from "./http.ts";
export { portalSecrets } from "./secrets.ts";
export { PortalService } from "./service.ts";
