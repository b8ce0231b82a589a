/** The HTTP shell around the modules' operations. */

export { infoOperations } from "./info/info.ts";
export { createHttpServer, type HttpServer, type RequestRecord } from "./server.ts";
