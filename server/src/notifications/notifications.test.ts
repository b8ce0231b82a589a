import { EMBEDDED } from "../engines/state-store/fixture.ts";
import { deliveryConformance } from "./conformance/delivery.ts";
import { listsConformance } from "./conformance/lists.ts";
import { triggersConformance } from "./conformance/triggers.ts";

deliveryConformance(EMBEDDED);
listsConformance(EMBEDDED);
triggersConformance(EMBEDDED);
