import { describe } from "vitest";
import { EMBEDDED, findPostgres } from "../engines/state-store/fixture.ts";
import { deliveryConformance } from "./conformance/delivery.ts";
import { listsConformance } from "./conformance/lists.ts";
import { triggersConformance } from "./conformance/triggers.ts";

const engine = await findPostgres();
const isMissing = typeof engine === "string";

// The state store's own PostgreSQL suite says why it is skipped; once is enough.
describe.skipIf(isMissing)("notifications on a server", () => {
  deliveryConformance(isMissing ? EMBEDDED : engine);
  listsConformance(isMissing ? EMBEDDED : engine);
  triggersConformance(isMissing ? EMBEDDED : engine);
});
