/**
 * Which thresholds may fire: once per crossing, and again only after the value had gone back. Pure.
 *
 * Invariant: after every step a threshold is armed exactly when it is not exceeded, so late usage leads to the same state
 * as usage on time.
 */

import type { Instant } from "../../kernel/instant.ts";
import { isExceeded, selectThreshold, type Threshold, thresholdKey, type ThresholdValue } from "./selection.ts";

/** What is remembered of one threshold. */
export interface ThresholdState {
  readonly isArmed: boolean;
  /** How often it was armed again in this period. */
  readonly epoch: number;
}

/** The thresholds of one rule for one entitlement in one period; one that is missing is armed, in epoch 0. */
export interface Armament {
  readonly periodStart: Instant;
  readonly thresholds: Readonly<Record<string, ThresholdState>>;
}

const INITIAL: ThresholdState = { isArmed: true, epoch: 0 };

/** What an evaluation leads to. */
export interface Step {
  /** The same object as before when nothing changed. */
  readonly next: Armament;
  /** At most one of each family. */
  readonly fires: readonly { readonly threshold: Threshold; readonly epoch: number }[];
}

/** A new period begins with everything armed. */
export function armamentOf(known: Armament | null, periodStart: Instant): Armament {
  return known?.periodStart === periodStart ? known : { periodStart, thresholds: {} };
}

/** Evaluates a value: thresholds that it left behind are armed anew, those that it exceeds fire if they were armed. */
export function step(before: Armament, thresholds: readonly Threshold[], value: ThresholdValue): Step {
  const states: Record<string, ThresholdState> = { ...before.thresholds };
  let hasChanged = false;
  const set = (key: string, state: ThresholdState): void => {
    states[key] = state;
    hasChanged = true;
  };
  const stateOf = (threshold: Threshold): ThresholdState => states[thresholdKey(threshold)] ?? INITIAL;
  const exceeded = thresholds.filter((threshold) => isExceeded(threshold, value));
  for (const threshold of thresholds) {
    const state = stateOf(threshold);
    if (exceeded.includes(threshold) || state.isArmed) continue;
    set(thresholdKey(threshold), { isArmed: true, epoch: state.epoch + 1 });
  }
  const fires = (["usage", "balance"] as const).flatMap((family) => {
    const threshold = selectThreshold(exceeded, value, family);
    const state = threshold === null ? null : stateOf(threshold);
    return threshold !== null && state?.isArmed === true ? [{ threshold, epoch: state.epoch }] : [];
  });
  for (const threshold of exceeded) {
    const state = stateOf(threshold);
    if (state.isArmed) set(thresholdKey(threshold), { isArmed: false, epoch: state.epoch });
  }
  return { next: hasChanged ? { periodStart: before.periodStart, thresholds: states } : before, fires };
}
