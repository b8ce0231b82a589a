/** The HTTP shell around the modules' operations. */

export { createHttpServer, type HttpServer, type RequestRecord } from "./server.ts";
