/** What a client that checks access tells about a run. */

export interface AccessReport {
  readonly checks: number;
  readonly checksPerSecond: number;
  readonly accessP50Ms: number;
  readonly accessP99Ms: number;
  readonly accessMaxMs: number;
  readonly cpuSeconds: number;
}
