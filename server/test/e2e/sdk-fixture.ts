/** The published client of the API that Tallystick is compatible with, unchanged, and a product that it talks to. */

import { HTTPError, OpenMeter } from "@openmeter/sdk";
import { expect } from "vitest";
import { startTestProduct, type TestProduct } from "./product-fixture.ts";

export interface SdkProduct {
  readonly product: TestProduct;
  readonly client: OpenMeter;
}

/** Starts a product, with the text of a configuration file, and makes a client of it. Whoever starts a product stops it. */
export async function startSdkProduct(file = ""): Promise<SdkProduct> {
  const product = await startTestProduct(file);
  // Nobody asks for a key; a client that has one sends it all the same.
  return { product, client: new OpenMeter({ baseUrl: product.url, apiKey: "ignored" }) };
}

/** What the client throws for a call that must fail. */
export async function failure(promise: Promise<unknown>): Promise<HTTPError> {
  const error: unknown = await promise.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(HTTPError);
  return error as HTTPError;
}
