import { describe } from "vitest";
import { EMBEDDED, findPostgres } from "../engines/state-store/fixture.ts";
import { customerConformance } from "./testing/conformance.ts";
import { subjectHookConformance } from "./testing/subject-hook-conformance.ts";

const engine = await findPostgres();
const isMissing = typeof engine === "string";

// The state store's own PostgreSQL suite says why it is skipped; once is enough.
describe.skipIf(isMissing)("customers on a server", () => {
  customerConformance(isMissing ? EMBEDDED : engine);
  subjectHookConformance(isMissing ? EMBEDDED : engine);
});
