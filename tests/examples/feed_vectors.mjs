// Run the feed's test vectors through the example's feed.js, beside which this file has to stand:
// `node feed_vectors.mjs VECTORS.json`. Prints how many cases there were; fails at the first fault.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createLocalJWKSet } from "jose";
import { Feed } from "./feed.js";
import { Fault, FeedKeys } from "./heartbeat.js";

const vectors = JSON.parse(readFileSync(process.argv[2], "utf8"));
const cases = new Map(vectors.cases.map((one) => [one.name, one]));

/** Whether it ends with a Fault; any other error is one of this test. */
async function faults(work) {
  try {
    await work();
    return false;
  } catch (error) {
    if (error instanceof Fault) return true;
    throw error;
  }
}

async function take(feed, page) {
  const keys = page.keys.map((name) => vectors.keys[name]);
  feed.keys.keys = Object.assign(createLocalJWKSet({ keys }), { reload: async () => {} });
  feed.keys.issuer = page.issuer;
  const before = feed.pulse.newest;
  let heartbeat = null;
  if (page.heartbeat !== null) {
    const refused = await faults(() => feed.hear(page.heartbeat));
    heartbeat = refused ? "refused" : feed.pulse.newest === before ? "ignored" : "accepted";
  }
  const refused = await faults(() => feed.take(page.entries));
  feed.sweep(page.wall_clock_ms / 1000);
  return { heartbeat, entries: refused ? "refused" : "taken", fresh: feed.isFresh };
}

for (const { name, before, page, verdict } of cases.values()) {
  let now = 0;
  const clock = { wall: () => now, monotonic: () => now };
  const keys = new FeedKeys(page.issuer, () => {});
  const feed = new Feed(page.issuer, { keys, clock });
  let found;
  for (const step of [...before.map((earlier) => cases.get(earlier).page), page]) {
    now = step.wall_clock_ms;
    found = await take(feed, step);
  }
  const { tokens, ...stated } = verdict;
  assert.deepEqual(found, stated, name);
  for (const [kind, list] of Object.entries(tokens)) {
    for (const token of list) {
      const judged = feed.judge(vectors.tokens[token]);
      assert.equal(judged === "stale" ? "good" : judged, kind, `${name}: ${token}`);
      assert.equal(judged === "stale", kind === "good" && !verdict.fresh, `${name}: ${token}`);
    }
  }
}
console.log(`${cases.size} cases`);
