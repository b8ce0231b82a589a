/**
 * Writes the OpenAPI document to `contract/openapi.json`. Run it after every change of a route or schema:
 * `node contract/src/generate.ts`.
 */
import { writeFileSync } from "node:fs";
import { openApiDocument } from "./openapi.ts";

const target = new URL("../openapi.json", import.meta.url);
writeFileSync(target, `${JSON.stringify(openApiDocument(), null, 2)}\n`);
