import { EMBEDDED } from "../../engines/state-store/fixture.ts";
import { holdConformance } from "./conformance.ts";

holdConformance(EMBEDDED);
