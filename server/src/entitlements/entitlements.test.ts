import { EMBEDDED } from "../engines/state-store/fixture.ts";
import { entitlementConformance } from "./testing/conformance.ts";

entitlementConformance(EMBEDDED);
