import { EMBEDDED } from "../engines/state-store/fixture.ts";
import { customerConformance } from "./testing/conformance.ts";
import { subjectHookConformance } from "./testing/subject-hook-conformance.ts";

customerConformance(EMBEDDED);
subjectHookConformance(EMBEDDED);
