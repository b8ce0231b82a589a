/** External ids: what the apps of an invoice call it and its parts. */
import { z } from "@hono/zod-openapi";
import { component } from "../components.ts";

function idIn(app: string) {
  return z
    .string()
    .optional()
    .openapi({ readOnly: true, description: `Id in the ${app} app.`, example: "in_1MtHbELkdIwH" });
}

export const invoiceExternalIdsSchema = component(
  "InvoiceAppExternalIds",
  z.object({ invoicing: idIn("invoicing"), tax: idIn("tax"), payment: idIn("payment") }),
  { description: "What apps call an invoice." },
);

export const lineExternalIdsSchema = component(
  "InvoiceLineAppExternalIds",
  z.object({ invoicing: idIn("invoicing"), tax: idIn("tax") }),
  { description: "What apps call a part of an invoice." },
);
