/** What the parts of an invoice have in common that are kept as records of their own. */
import { z } from "@hono/zod-openapi";
import { component } from "../components.ts";
import { ulidSchema } from "../identifiers.ts";
import { timestampSchema } from "../instants.ts";
import { metadataSchema } from "../meters.ts";

const readOnly = true;

/** When it came, changed and went; `what` names it in the descriptions, with its article. */
export function lifeOf(what: string) {
  return {
    createdAt: timestampSchema(`When ${what} was created.`).openapi({ readOnly }),
    updatedAt: timestampSchema(`When ${what} was last changed.`).openapi({ readOnly }),
    deletedAt: timestampSchema(`When ${what} was deleted; absent while it exists.`).optional().openapi({ readOnly }),
  };
}

/** Free text and notes of the user; `what` names it, with its article. */
export function notesOn(what: string) {
  return {
    description: z
      .string()
      .max(1024)
      .optional()
      .openapi({ description: `What ${what} is, at most 1024 characters.` }),
    metadata: metadataSchema
      .nullable()
      .optional()
      .openapi({ description: "Your own notes, text by key; null is none." }),
  };
}

export const idResourceSchema = component(
  "IDResource",
  z.object({ id: ulidSchema("Id of the resource.").openapi({ readOnly }) }),
  {
    description: "Something that is named by its id.",
  },
);
