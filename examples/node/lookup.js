// Revocations by look-up: one MGET a request, nothing in memory. Whoever may write to this Redis can
// forge and delete the keys, which are not signed; where that matters, follow the feed: feed.js.

import { FeedKeys, Pulse } from "./heartbeat.js";

const isDecimal = (answer) => /^[0-9]+$/.test(answer ?? "");
const isAbove = (answer, version) => isDecimal(answer) && Number(answer) > version;

export class LookUp {
  constructor(issuer, redis, { prefix = "ww", maxStaleness = 30_000 } = {}) {
    this.redis = redis;
    this.root = `{${prefix}}:feed`;
    this.keys = new FeedKeys(issuer);
    this.pulse = new Pulse(this.keys, maxStaleness);
  }

  /** `good`, `revoked`, `refresh` or `stale`, of a token that was verified. Throws when Redis is away. */
  async judge({ kid, claims }) {
    const { jti, sid, client_id, cep = 0, cv = 0 } = claims;
    const names = ["heartbeat", `kid:${kid}`, `jti:${jti}`, `client:${client_id}`];
    if (sid) names.push(`sid:${sid}`, `stale:${sid}`);
    const answers = await this.redis.mget(names.map((name) => `${this.root}:${name}`));
    const [heartbeat, killed, token, epoch, session = null, version = null] = answers;

    if (!heartbeat) return "stale";
    await this.pulse.hear(heartbeat);
    if (!this.pulse.isRecent()) return "stale";
    const isVoid = [killed, token, session].some((answer) => answer !== null);
    if (this.keys.killed.has(kid) || isVoid || isAbove(epoch, cep)) return "revoked";
    if (isAbove(version, cv)) return "refresh";
    return [epoch, version].every((it) => it === null || isDecimal(it)) ? "good" : "stale";
  }
}
