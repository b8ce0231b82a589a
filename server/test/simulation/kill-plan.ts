/**
 * Which kills happen, and the words in which the test, the product under test and its sink's thread speak about them.
 *
 * Every kind of kill meets every step in two ways: `at` kills while the sink's thread stands still between two steps,
 * `after` lets it go on and kills a few milliseconds later, which is in the middle of what follows the step: recording,
 * the insert, the commit or the preparation of the next batch. `anytime` does not look where the sink is, and so meets
 * starts and recoveries as well.
 */

import type { SinkStep } from "../../src/events/index.ts";
import type { Random } from "../oracle/random.ts";

export const STEP_CHANNEL = "simulation steps";

/** From the sink's thread to the main thread: a step is done, and the thread waits. */
export interface StepReached {
  readonly id: string;
  readonly step: SinkStep;
}

/** The answer: the step with this id is over. */
export interface StepReleased {
  readonly released: string;
}

/** `product` is the whole server process, `engine` the event store's process, `sink` the sink's thread. */
export const TARGETS = ["product", "engine", "sink"] as const;
export type Target = (typeof TARGETS)[number];

export const STEPS = ["prepared", "recorded", "inserted", "committed"] as const satisfies readonly SinkStep[];

export type Moment =
  | { readonly kind: "at"; readonly step: SinkStep }
  | { readonly kind: "after"; readonly step: SinkStep; readonly delayMs: number }
  | { readonly kind: "anytime"; readonly delayMs: number };

export interface Kill {
  readonly target: Target;
  readonly moment: Moment;
}

/** From the test to the product. */
export type ToSubject = { readonly kind: "kill"; readonly kill: Kill } | { readonly kind: "tell roll-ups" };

/** From the product to the test. A kill of the product itself is reported by its exit. */
export type FromSubject =
  | { readonly kind: "ready"; readonly url: string }
  | { readonly kind: "killed" }
  | ({ readonly kind: "roll-ups" } & RollUpState);

/** What is rolled up at this moment. */
export interface RollUpState {
  /** Whether every stored event is in the roll-ups of the meters that have one, and none is being built. */
  readonly isCaughtUp: boolean;
  /** Slugs of the meters whose queries use a roll-up. */
  readonly offered: readonly string[];
}

/**
 * How many kills there are of each target: at each step, after each step, and at any time. To start again takes the product
 * two seconds of computing, the engine one and the sink a third of one.
 */
const COUNTS: Readonly<Record<Target, { readonly at: number; readonly after: number; readonly anytime: number }>> = {
  product: { at: 2, after: 2, anytime: 6 },
  engine: { at: 3, after: 3, anytime: 6 },
  sink: { at: 17, after: 17, anytime: 16 },
};

/** Longest delay of `after`: an insert or a commit of these batches takes a few milliseconds. */
const AFTER_MS = 12;
/** Longest delay of `anytime`: from a start over the recovery to undisturbed work. */
const ANYTIME_MS: Readonly<Record<Target, number>> = { product: 2500, engine: 600, sink: 250 };

/**
 * All kills of a run, in random order. Kills of the product at any time count their delay from its start, so each follows
 * another kill of the product: that is how starts are met.
 */
export function planKills(random: Random): readonly Kill[] {
  const kills = TARGETS.flatMap((target) => killsOf(target, random));
  const isStartKill = ({ target, moment }: Kill): boolean => target === "product" && moment.kind === "anytime";
  const startKills = kills.filter(isStartKill);
  const others = random.shuffled(kills.filter((kill) => !isStartKill(kill)));
  return others.flatMap((kill) => {
    const next = kill.target === "product" ? startKills.pop() : undefined;
    return next === undefined ? [kill] : [kill, next];
  });
}

function killsOf(target: Target, random: Random): readonly Kill[] {
  const { at, after, anytime } = COUNTS[target];
  return [
    ...STEPS.flatMap((step) => [
      ...random.list(at, (): Kill => ({ target, moment: { kind: "at", step } })),
      ...random.list(after, (): Kill => ({ target, moment: { kind: "after", step, delayMs: random.below(AFTER_MS) } })),
    ]),
    ...random.list(anytime, (): Kill => ({
      target,
      moment: { kind: "anytime", delayMs: random.below(ANYTIME_MS[target]) },
    })),
  ];
}

/** The name under which kills at this moment are counted. */
export function momentName(moment: Moment): string {
  return moment.kind === "anytime" ? "anytime" : `${moment.kind} ${moment.step}`;
}

/** Every name of `momentName`. */
export const MOMENTS: readonly string[] = [...STEPS.flatMap((step) => [`at ${step}`, `after ${step}`]), "anytime"];
