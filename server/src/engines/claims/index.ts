/** Claims: the port, and the embedded index that implements it. */

export { IDENTITY_BYTES } from "./claims.ts";
export type { ClaimRequest, ClaimResult, Claims } from "./claims.ts";
export { openEmbeddedClaims } from "./embedded.ts";
export type { ClaimsFiles, EmbeddedClaimsOptions, FileClaims } from "./embedded.ts";
export { DamagedClaims } from "./embedded/damage.ts";
export { openClaimsReader } from "./reader.ts";
export type { ClaimsReader } from "./reader.ts";
