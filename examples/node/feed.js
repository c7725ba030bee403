// Revocations by following the signed stream: all facts in memory, no I/O for a request.
//
// Feed judges what it is given and knows no Redis; `follow` reads for it. Each entry is proven by
// its own signature here, which is simple. A reader in a hurry proves the last of a page and walks
// the chain back.

import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { ENTRY, Fault, FeedKeys, LEEWAY, Pulse } from "./heartbeat.js";

const digestOf = (text) => createHash("sha256").update(text).digest("base64url");

/** The kinds of facts, and which member says below which version a token is void. */
const VERSION = { jti: null, sid: null, client: "cep", stale: "cv", kid: null };

export class Feed {
  #facts = { jti: new Map(), sid: new Map(), client: new Map(), stale: new Map() };
  #digest = null; // of entry `number`; null where that one can't be seen
  #keptUpAt = -Infinity; // when the newest heartbeat came of which nothing is missing

  constructor(issuer, { maxStaleness = 30_000, keys = new FeedKeys(issuer), clock } = {}) {
    this.keys = keys;
    this.pulse = new Pulse(keys, maxStaleness, clock);
    this.epoch = "";
    this.number = 0; // of the last entry that was processed
  }

  get isFresh() {
    return this.pulse.isRecent(this.#keptUpAt);
  }

  /** Take a heartbeat in. Throws Fault. */
  async hear(jws) {
    if (!(await this.pulse.hear(jws))) return;
    const { epoch, floor } = this.pulse.newest;
    if (epoch !== this.epoch || this.number < floor - 1) this.#begin();
    this.#settle();
  }

  /** Take in the entries that follow `number`. Throws Fault, after those that are proven. */
  async take(entries) {
    for (const jws of entries) await this.#process(jws);
  }

  /** `good`, `revoked`, `refresh` or `stale`, of a token that was verified. */
  judge({ kid, claims }) {
    const { jti, sid, client_id, cep = 0, cv = 0 } = claims;
    const facts = this.#facts;
    if (this.keys.killed.has(kid) || facts.jti.has(jti) || facts.sid.has(sid)) return "revoked";
    if (cep < (facts.client.get(client_id)?.version ?? 0)) return "revoked";
    if (cv < (facts.stale.get(sid)?.version ?? 0)) return "refresh";
    return this.isFresh ? "good" : "stale";
  }

  /** Drop the facts that no token outlives. */
  sweep(now = Date.now() / 1000) {
    for (const facts of Object.values(this.#facts)) {
      for (const [subject, { exp }] of facts) if (exp + LEEWAY < now) facts.delete(subject);
    }
  }

  async #process(jws) {
    const entry = await this.keys.prove(jws, ENTRY);
    if (entry.epoch !== this.epoch) throw new Fault("an entry of another epoch");
    if (entry.n !== this.number + 1) throw new Fault(`entry ${this.number + 1} is missing`);
    if (this.#digest !== null && entry.prev !== this.#digest) {
      this.#begin();
      throw new Fault(`entry ${entry.n} does not chain to the one before it`);
    }
    if (!Array.isArray(entry.facts)) throw new Fault(`entry ${entry.n} has no facts`);
    entry.facts.map(readFact).forEach((fact) => this.#add(fact)); // all or none
    this.number = entry.n;
    this.#digest = digestOf(jws);
    this.#settle();
  }

  /** Facts only add up. */
  #add({ kind, subject, version, exp }) {
    if (kind === "kid") {
      this.keys.killed.add(subject);
      return;
    }
    const known = this.#facts[kind].get(subject) ?? { version, exp };
    this.#facts[kind].set(subject, {
      version: Math.max(version, known.version),
      exp: Math.max(exp, known.exp),
    });
  }

  /** Stand before the floor. The facts are kept, those of an epoch that was left too. */
  #begin() {
    const { epoch, floor, head, digest } = this.pulse.newest;
    this.epoch = epoch;
    this.number = floor - 1;
    this.#digest = this.number === head ? digest : null;
    if (this.number === 0) this.#digest = digestOf(epoch);
  }

  /** Note whether the newest heartbeat was kept up with. */
  #settle() {
    const { head, digest } = this.pulse.newest;
    if (this.number === head && this.#digest !== digest) {
      this.#begin();
      throw new Fault("the heartbeat names another head");
    }
    if (this.number >= head) this.#keptUpAt = this.pulse.heardAt;
  }
}

function readFact(fact) {
  const kinds = Object.keys(VERSION).filter((kind) => Object.hasOwn(fact ?? {}, kind));
  if (kinds.length !== 1) throw new Fault("a fact of an unknown kind");
  const [kind] = kinds;
  const version = VERSION[kind] ? fact[VERSION[kind]] : 0;
  const expires = kind === "kid" ? fact.exp === undefined : Number.isSafeInteger(fact.exp);
  if (typeof fact[kind] !== "string" || !Number.isSafeInteger(version) || !expires) {
    throw new Fault(`a ${kind} fact that lacks something`);
  }
  return { kind, subject: fact[kind], version, exp: fact.exp };
}

/** Feed it from Redis for ever, over a connection of its own; `report` hears of faults. */
export async function follow(feed, redis, { prefix = "ww", report = console.error } = {}) {
  const root = `{${prefix}}:feed`;
  let reported = "";

  /** Whether a step was done; a fault that goes on is told once. */
  const attempt = async (step) => {
    try {
      await step();
      return true;
    } catch ({ message }) {
      if (message !== reported) report(message);
      reported = message;
      await sleep(200);
      return false;
    }
  };
  const hear = async () => {
    const heartbeat = await redis.get(`${root}:heartbeat`);
    if (heartbeat === null) throw new Fault("there is no heartbeat");
    await feed.hear(heartbeat);
  };
  const read = async () => {
    if (!feed.epoch) return;
    const stream = ["STREAMS", `${root}:${feed.epoch}:entries`, `${feed.number}-0`];
    const found = await redis.xread("COUNT", 256, "BLOCK", 500, ...stream);
    const rows = found ? found[0][1] : [];
    await feed.take(rows.map(([, fields]) => fields[fields.indexOf("jws") + 1]));
  };

  setInterval(() => feed.sweep(), 30_000).unref();
  for (;;) {
    const heard = await attempt(hear);
    if ((await attempt(read)) && heard) reported = "";
  }
}
