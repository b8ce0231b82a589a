import { EMBEDDED } from "../state-store/fixture.ts";
import { jobsConformance } from "./conformance.ts";

jobsConformance(EMBEDDED);
