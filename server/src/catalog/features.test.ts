import { EMBEDDED } from "../engines/state-store/fixture.ts";
import { featureConformance } from "./conformance.ts";

featureConformance(EMBEDDED);
