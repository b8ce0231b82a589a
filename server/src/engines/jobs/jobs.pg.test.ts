import { describe } from "vitest";
import { EMBEDDED, findPostgres } from "../state-store/fixture.ts";
import { jobsConformance } from "./conformance.ts";

const engine = await findPostgres();
const isMissing = typeof engine === "string";

// The state store's own PostgreSQL suite says why it is skipped; once is enough.
describe.skipIf(isMissing)("jobs on a server", () => jobsConformance(isMissing ? EMBEDDED : engine));
