/** A thread for the tests: opens a transaction, lets a second one wait behind it, tells so, and never ends either. */

import { parentPort, workerData, type MessagePort } from "node:worker_threads";
import { instantFromMicros } from "../../kernel/instant.ts";
import { openStateStore } from "./index.ts";

const store = await openStateStore({ kind: "shared", port: workerData as MessagePort });
const neverEnding = new Promise<never>(() => undefined);

void store.db.transaction().execute(async (transaction) => {
  const row = { name: "dying", holder: "thread", fencing_token: 1, expires_at: instantFromMicros(1) };
  await transaction.insertInto("lease").values(row).execute();
  void store.db.transaction().execute(async () => await neverEnding);
  parentPort?.postMessage("inside");
  await neverEnding;
});
