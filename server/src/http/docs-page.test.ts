/**
 * The reference page stays on this server: it names no other origin, and every file it loads is offered and on disk.
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { docsAssets, docsPage } from "./docs-page.ts";

const references = [...docsPage().matchAll(/\b(?:src|href|spec-url)="([^"]*)"/g)].map(
  ([, reference]) => reference ?? "",
);

describe("the reference page", () => {
  test("refers to this server only", () => {
    expect(references.length).toBeGreaterThan(2);
    expect(references.filter((reference) => !/^(?:\/(?!\/)|data:,$)/.test(reference))).toEqual([]);
    expect(docsPage()).not.toMatch(/https?:|url\(/);
  });

  test("switches the component's web fonts off and has the browser refuse other origins", () => {
    expect(docsPage()).toContain('load-fonts="false"');
    expect(docsPage()).toContain("default-src 'none'");
  });

  test("loads exactly the files that are offered", () => {
    const files = references.filter((one) => one.startsWith("/docs/assets/")).map((one) => one.split("/").at(-1));
    expect(files).toEqual([...docsAssets().keys()]);
  });

  test.each([...docsAssets()])("%s is on disk, compressed as announced", (_, asset) => {
    expect(asset).toMatchObject({ contentType: "text/javascript", contentEncoding: "gzip" });
    expect(gunzipSync(readFileSync(asset.path)).toString()).toContain("RapiDoc 9.3.8");
  });
});
