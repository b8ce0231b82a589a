/**
 * The API reference at `/docs`: an HTML page around the RapiDoc web component, which reads `/api/openapi.json`.
 *
 * Invariant: the page works without a network beyond this server and asks nobody else for anything. RapiDoc's web fonts are
 * switched off, and the content security policy makes the browser refuse every other origin, so an update of the component
 * cannot change this unnoticed. Why RapiDoc, and why the file is kept in the repository: ADR 0004.
 */
import { fileURLToPath } from "node:url";

const COMPONENT = "rapidoc-9.3.8.min.js";

/** A file of the reference page. */
export interface DocsAsset {
  /** Absolute path of the file on disk. */
  readonly path: string;
  readonly contentType: string;
  /** The file is compressed; send this as `Content-Encoding`. Every browser accepts it. */
  readonly contentEncoding: "gzip";
}

// The component sets inline styles from its attributes, hence 'unsafe-inline' for styles; scripts only come from files.
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; " +
  "base-uri 'none'; form-action 'self'";

const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta http-equiv="Content-Security-Policy" content="${CONTENT_SECURITY_POLICY}">
    <title>Tallystick API</title>
    <link rel="icon" href="data:,">
    <script type="module" src="/docs/assets/${COMPONENT}"></script>
  </head>
  <body>
    <rapi-doc
      spec-url="/api/openapi.json"
      load-fonts="false"
      regular-font="system-ui, sans-serif"
      mono-font="ui-monospace, monospace"
      theme="light"
      bg-color="#ffffff"
      text-color="#1f2937"
      primary-color="#0f766e"
      nav-bg-color="#f8fafc"
      nav-text-color="#334155"
      render-style="focused"
      schema-style="table"
      schema-expand-level="2"
      schema-description-expanded="true"
      default-schema-tab="schema"
      show-header="false"
      show-method-in-nav-bar="as-colored-block"
      use-path-in-nav-bar="false"
      allow-authentication="false"
      allow-server-selection="false"
      allow-spec-url-load="false"
      allow-spec-file-load="false"
      fill-request-fields-with-example="false"
    ></rapi-doc>
    <noscript>
      The API reference needs JavaScript. The document it shows is <a href="/api/openapi.json">/api/openapi.json</a>.
    </noscript>
  </body>
</html>
`;

/** The HTML of the reference page. */
export function docsPage(): string {
  return PAGE;
}

/** The files that the page loads from `/docs/assets/<name>`, by name. */
export function docsAssets(): ReadonlyMap<string, DocsAsset> {
  return new Map([
    [
      COMPONENT,
      {
        path: fileURLToPath(new URL(`../../assets/api-reference/${COMPONENT}.gz`, import.meta.url)),
        contentType: "text/javascript",
        contentEncoding: "gzip",
      },
    ],
  ]);
}
