import { describe } from "vitest";
import { EMBEDDED, findPostgres } from "../../engines/state-store/fixture.ts";
import { holdConformance } from "./conformance.ts";

const engine = await findPostgres();
const isMissing = typeof engine === "string";

// The state store's own PostgreSQL suite says why it is skipped; once is enough.
describe.skipIf(isMissing)("holds on a server", () => holdConformance(isMissing ? EMBEDDED : engine));
