import { describe } from "vitest";
import { EMBEDDED, findPostgres } from "../engines/state-store/fixture.ts";
import { portalConformance } from "./conformance.ts";

const engine = await findPostgres();
const isMissing = typeof engine === "string";

// The state store's own PostgreSQL suite says why it is skipped; once is enough.
describe.skipIf(isMissing)("the portal on a server", () => portalConformance(isMissing ? EMBEDDED : engine));
