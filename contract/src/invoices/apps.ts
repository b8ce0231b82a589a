/** Apps of an invoice: who calculates its tax, sends it, and collects the money. All three are the same app. */
import { z } from "@hono/zod-openapi";
import { component } from "../components.ts";
import { customInvoicingAppSchema, sandboxAppSchema, stripeAppSchema } from "../customer-lists.ts";
import { ulidSchema } from "../identifiers.ts";

const appSchema = component(
  "App",
  z.discriminatedUnion("type", [stripeAppSchema, sandboxAppSchema, customInvoicingAppSchema]),
  { description: "An installed app; `type` tells the kinds apart." },
);

const appReferenceSchema = component("AppReference", z.object({ id: ulidSchema("Id of the app.") }), {
  description: "An installed app, named by its id.",
});

function slots<Slot extends z.ZodType>(slot: Slot) {
  const readOnly = true;
  return z.object({
    tax: slot.openapi({ readOnly, description: "The app that calculates tax." }),
    invoicing: slot.openapi({ readOnly, description: "The app that sends invoices." }),
    payment: slot.openapi({ readOnly, description: "The app that collects payments." }),
  });
}

export const profileAppsSchema = component(
  "BillingProfileAppsOrReference",
  z.union([
    component("BillingProfileApps", slots(appSchema), { description: "The apps in full." }),
    component("BillingProfileAppReferences", slots(appReferenceSchema), { description: "The apps by id." }),
  ]),
  { description: "The apps that process invoices, in full or by id." },
);
