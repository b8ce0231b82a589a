/**
 * Components: schemas with a name of their own in the document.
 *
 * The generator takes a component's words from the first place where it meets the schema, and that place may have words of
 * its own (what a field is for, that it is read-only), which are wrong everywhere else. Whoever makes a component here has
 * it shown to the generator before any route, so the component keeps the words it was made with.
 *
 * Invariant: a schema is made after the schemas it consists of, so the order of making shows the generator leaves first.
 */
import type { z } from "@hono/zod-openapi";

const made = new Map<string, z.ZodType>();

/** What the document says of a component. */
type Words = { readonly description: string; readonly example?: unknown; readonly format?: string };

/** The schema under a name of the document; `words` are what the document says of it wherever a field says nothing else. */
export function component<Schema extends z.ZodType>(name: string, schema: Schema, words: Words): Schema {
  const named = schema.openapi(name, words);
  made.set(name, named);
  return named;
}

/** Every component made so far, by name, leaves first. */
export function madeComponents(): ReadonlyMap<string, z.ZodType> {
  return made;
}
