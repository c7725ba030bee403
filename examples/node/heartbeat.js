// What the feed's keys signed, and the heartbeat: docs/reference/revocation-feed.md.

import { compactVerify, errors } from "jose";
import { keySet } from "./keys.js";
import { isOutage } from "./token.js";

export const ENTRY = "revocation-feed+jwt";
const HEARTBEAT = "revocation-heartbeat+jwt";
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]+$/; // one spelling: no padding
const MAX_LENGTH = 64 * 1024;

/** Seconds by which clocks may differ. */
export const LEEWAY = 60;

/** What came is no feed of this issuer, or not whole. */
export class Fault extends Error {}

/** The feed's key set, which alone says what its keys are. */
export class FeedKeys {
  killed = new Set(); // keys that sign no token any more
  #known = new Set(); // kills of the feed's keys after which the set was fetched

  constructor(issuer, keys = keySet(issuer, "watchword-feed-keys.json")) {
    this.issuer = issuer;
    this.keys = keys;
  }

  /** The claims of a JWS, once type, key, signature and issuer are proven. Throws Fault. */
  async prove(jws, typ) {
    if (jws.length > MAX_LENGTH || !COMPACT.test(jws)) throw new Fault(`that is no ${typ}`);
    const { protectedHeader, payload } = await this.#verify(jws);
    if (protectedHeader.typ !== typ) throw new Fault(`another thing in the place of a ${typ}`);
    const claims = JSON.parse(new TextDecoder().decode(payload)); // signed, so it is JSON
    if (claims.iss !== this.issuer) throw new Fault(`a ${typ} of another issuer`);
    return claims;
  }

  /** A heartbeat's claims. Throws Fault. */
  async proveHeartbeat(jws) {
    const heartbeat = readHeartbeat(await this.prove(jws, HEARTBEAT));
    const kills = this.#killsOfOurs(heartbeat);
    if (kills.every((kill) => this.#known.has(kill))) return heartbeat;
    // The set decides, fetched once more: else a stolen key of the feed could kill the good one.
    if (this.keys.coolingDown) throw new Fault("a key of the feed was killed; which are left?");
    await this.keys.reload();
    kills.forEach((kill) => this.#known.add(kill));
    return readHeartbeat(await this.prove(jws, HEARTBEAT));
  }

  /** Which keys of the set it kills. A true kill begins an epoch, so it is known by that too. */
  #killsOfOurs({ epoch, killed_kids }) {
    const listed = this.keys.jwks().keys.filter(({ kid }) => killed_kids.includes(kid));
    return listed.map(({ kid }) => `${epoch} ${kid}`);
  }

  async #verify(jws) {
    try {
      return await compactVerify(jws, this.#key, { algorithms: ["RS256"] });
    } catch (error) {
      if (isOutage(error)) throw error;
      throw new Fault(`it can't be proven: ${error.message}`);
    }
  }

  #key = (header, jws) => {
    if (typeof header.kid !== "string") throw new errors.JWSInvalid("signed by no key with a name");
    return this.keys(header, jws);
  };
}

function readHeartbeat(claims) {
  const { epoch, digest, head, floor, time, database_read_at, killed_kids } = claims;
  const isOne =
    [epoch, digest].every((text) => typeof text === "string") &&
    [head, floor, time, database_read_at].every(Number.isSafeInteger) &&
    1 <= floor && floor <= head + 1 &&
    Array.isArray(killed_kids) && killed_kids.every((kid) => typeof kid === "string");
  if (!isOne) throw new Fault("a heartbeat that lacks something");
  return claims;
}

const CLOCK = { wall: () => Date.now(), monotonic: () => performance.now() };
const DRIFT = 0.0005; // of two clocks that are both right

/** The newest heartbeat, and when it was due. Times in milliseconds. */
export class Pulse {
  newest = null;
  heardAt = -Infinity; // when it came, less the time by which it came late
  #text = null;
  #quickest = { took: Infinity, at: 0 };

  constructor(keys, maxStaleness, clock = CLOCK) {
    this.keys = keys;
    this.maxStaleness = maxStaleness;
    this.clock = clock;
  }

  /** Take a heartbeat in; whether it is newer than all before: else it is a replay. Throws Fault. */
  async hear(jws) {
    if (jws === this.#text) return false;
    const heartbeat = await this.keys.proveHeartbeat(jws);
    if (this.newest && !isLater(heartbeat, this.newest)) return false;
    const apart = Math.abs(this.clock.wall() - heartbeat.time);
    if (!this.newest && apart > this.maxStaleness + LEEWAY * 1000) {
      throw new Fault("the first heartbeat is of another time");
    }
    heartbeat.killed_kids.forEach((kid) => this.keys.killed.add(kid));
    this.heardAt = this.clock.monotonic() - this.#lateness(heartbeat);
    this.#text = jws;
    this.newest = heartbeat;
    return true;
  }

  /** Whether a moment is recent enough to go by what was known then. */
  isRecent(moment = this.heardAt) {
    return this.clock.monotonic() - moment < this.maxStaleness;
  }

  /** By how much it took longer than the quickest before it: so replays that are slow show. */
  #lateness({ epoch, time }) {
    const now = this.clock.monotonic();
    const took = now - time; // of two clocks, so only differences of it mean something
    const isFirst = epoch !== this.newest?.epoch;
    const allowed = isFirst ? took : this.#quickest.took + DRIFT * (now - this.#quickest.at);
    const byWall = Math.max(0, this.clock.wall() - time);
    // The server's clock may have been set back: then ours says that it is not late.
    const late = Math.max(0, Math.min(took - allowed, byWall));
    if (took <= allowed) this.#quickest = { took, at: now };
    // The quickest may have been held back, and all after it by as much.
    return Math.max(late, byWall - LEEWAY * 1000);
  }
}

/** Of two heartbeats: by epoch, then head, then time. Epochs are UUIDv7, whose text sorts by time. */
function isLater(one, other) {
  if (one.epoch !== other.epoch) return one.epoch > other.epoch;
  return one.head !== other.head ? one.head > other.head : one.time > other.time;
}
