import { EMBEDDED } from "../../engines/state-store/fixture.ts";
import { subjectConformance } from "./conformance.ts";

subjectConformance(EMBEDDED);
