import { EMBEDDED } from "../engines/state-store/fixture.ts";
import { portalConformance } from "./conformance.ts";

portalConformance(EMBEDDED);
