/** What the engine process and its supervisor tell each other over the IPC channel. */

/** The first command-line argument of the engine process, as JSON. */
export interface EngineProcessOptions {
  readonly dataDirectory: string;
  /** A private directory, removed by the engine process when it ends; holds the socket and the rows of running inserts. */
  readonly runtimeDirectory: string;
  readonly memoryLimitBytes: number;
  readonly threads: number;
  readonly querySessions: number;
  readonly insertSessions: number;
  readonly backgroundSessions: number;
}

/** From the process: it answers on the socket, or it could not open the data directory and ends. */
export type EngineReport = { readonly kind: "ready" } | { readonly kind: "failed"; readonly message: string };

/** To the process: finish what runs, close the data directory and end. */
export interface StopRequest {
  readonly kind: "stop";
}

/** Name of the socket in the runtime directory. */
export const SOCKET_NAME = "engine.sock";

/**
 * Header of a statement that waits for all inserts which arrived before it, whether their clients are still there or not.
 * A ClickHouse server ignores it.
 */
export const AFTER_INSERTS_HEADER = "x-tallystick-after-inserts";

/**
 * Header of a statement that nobody waits for, such as one that keeps roll-ups: those have connections of their own, so that
 * queries never wait for them. A ClickHouse server ignores it.
 */
export const BACKGROUND_HEADER = "x-tallystick-background";
