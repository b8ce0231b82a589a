import { describe, expect, test } from "vitest";
import { ChangeWatch, Recent } from "./recent.ts";

/** Has a memory look up a value that the store answers at once. */
async function look<Value>(recent: Recent<Value>, name: string, value: Value): Promise<void> {
  await recent.look(
    async () => value,
    (found) => [[name, found]],
  );
}

test("what was not asked for longest goes first", async () => {
  const recent = new Recent<number>(2);
  await look(recent, "a", 1);
  await look(recent, "b", 2);
  expect(recent.get("a")).toBe(1);
  await look(recent, "c", 3);
  expect([recent.get("a"), recent.get("b"), recent.get("c")]).toEqual([1, undefined, 3]);
  await look(recent, "a", 4);
  expect([recent.get("a"), recent.get("c")]).toEqual([4, 3]);
  recent.forget(["a", "never"]);
  expect([recent.get("a"), recent.get("c")]).toEqual([undefined, 3]);
  recent.clear();
  expect(recent.get("c")).toBeUndefined();
});

test("a second look-up takes what the first one found, and finding nothing is not remembered", async () => {
  const recent = new Recent<number>(2);
  expect(await recent.getOrRead("a", async () => null)).toBeNull();
  expect(await recent.getOrRead("a", async () => 1)).toBe(1);
  expect(await recent.getOrRead("a", () => Promise.reject(new Error("was read again")))).toBe(1);
});

test("a look-up that fails is not remembered", async () => {
  const recent = new Recent<number>(2);
  await expect(recent.getOrRead("a", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await recent.getOrRead("a", async () => 1)).toBe(1);
});

test("null can be remembered as a value", async () => {
  const recent = new Recent<string | null>(2);
  await look(recent, "a", null);
  expect(recent.get("a")).toBeNull();
});

test("a change that fails is over", async () => {
  const recent = new Recent<number>(2);
  await look(recent, "a", 1);
  await expect(recent.changing(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(recent.get("a")).toBeUndefined();
  await look(recent, "a", 2);
  expect(recent.get("a")).toBe(2);
});

test("a change of one memory keeps another one with the same watch from remembering, and leaves what that has", async () => {
  const watch = new ChangeWatch();
  const [some, others] = [new Recent<number>(2, watch), new Recent<number>(2, watch)];
  await look(others, "a", 1);
  await some.changing(() => look(others, "b", 1));
  expect([others.get("a"), others.get("b")]).toEqual([1, undefined]);
});

/** What takes three steps, with the steps of others between them: it begins, it reaches the store, it is answered. */
type Steps = readonly [begin: () => void, reach: () => void, end: () => Promise<void>];

/** Every order in which the steps of a look-up and of two changes can happen: 1,680. */
function orders(left: readonly number[] = [3, 3, 3]): readonly (readonly number[])[] {
  if (left.every((count) => count === 0)) return [[]];
  return left.flatMap((count, who) =>
    count === 0 ? [] : orders(left.with(who, count - 1)).map((order) => [who, ...order]),
  );
}

/** A store with one value, its version, and a memory of it. */
class Race {
  readonly #watch = new ChangeWatch();
  readonly #stored = { version: 1 };
  readonly recent = new Recent<number>(2, this.#watch);
  /** The version that the last answered change has made. */
  answered = 1;

  get version(): number {
    return this.#stored.version;
  }

  look(): Steps {
    const reply = Promise.withResolvers<number>();
    let read = 0;
    let answer: Promise<number | null> = Promise.resolve(null);
    return [
      () => {
        answer = this.recent.getOrRead("a", () => reply.promise);
      },
      () => {
        read = this.version;
      },
      async () => {
        reply.resolve(read);
        await answer;
      },
    ];
  }

  /** A change that forgets everything when it begins, or what it affected when it is committed. */
  change(forgets: "everything" | "what changed"): Steps {
    const reply = Promise.withResolvers<undefined>();
    let made = 0;
    let change: Promise<void> = Promise.resolve();
    const affected = async (): Promise<void> => {
      await reply.promise;
      this.recent.forget(["a"]);
    };
    return [
      () => {
        const isAll = forgets === "everything";
        change = isAll ? this.recent.changing(() => reply.promise) : this.#watch.during(affected);
      },
      () => {
        this.#stored.version += 1;
        made = this.version;
      },
      async () => {
        reply.resolve(undefined);
        await change;
        this.answered = Math.max(this.answered, made);
      },
    ];
  }
}

describe.each(["everything", "what changed"] as const)("a look-up races changes that forget %s", (forgets) => {
  test.each([
    ["and nothing was remembered before", false],
    ["and an old value was remembered before", true],
  ])("%s: what is handed out is never older than the last answered change", async (_, isRemembered) => {
    for (const order of orders()) {
      const race = new Race();
      if (isRemembered) await look(race.recent, "a", race.version);
      const steps = [race.look(), race.change(forgets), race.change(forgets)];
      const next = [0, 0, 0];
      for (const who of order) {
        await steps[who]?.[next[who] ?? 0]?.();
        next[who] = (next[who] ?? 0) + 1;
        expect(race.recent.get("a") ?? race.version, order.join(" ")).toBeGreaterThanOrEqual(race.answered);
      }
      expect(next).toEqual([3, 3, 3]);
      // When all is quiet, the store's value is answered and remembered again.
      expect(await race.recent.getOrRead("a", async () => race.version)).toBe(race.version);
      expect(race.recent.get("a")).toBe(race.version);
    }
  });
});
