import { EMBEDDED } from "../engines/state-store/fixture.ts";
import { deliveryConformance } from "./conformance/delivery.ts";
import { triggersConformance } from "./conformance/triggers.ts";

deliveryConformance(EMBEDDED);
triggersConformance(EMBEDDED);
