// The issuer's two key sets: for access tokens, and for the revocation feed. Over TLS, except from
// a loopback address; a key is believed because this document lists it, and for nothing else.

import { createRemoteJWKSet } from "jose";

const REFETCH = 300_000; // as its Cache-Control says
const BELIEVED = 24 * 3600_000; // while the issuer does not answer

/** The set at `<issuer>/.well-known/<name>`, fetched again in the background and on an unknown kid. */
export function keySet(issuer, name) {
  const set = createRemoteJWKSet(new URL(`${issuer}/.well-known/${name}`), {
    cacheMaxAge: BELIEVED,
    cooldownDuration: 10_000, // forged kids can't make it ask more often
    headers: { "cache-control": "no-cache" },
  });
  // A failure leaves the set as it is.
  setInterval(() => set.reload().catch(() => {}), REFETCH).unref();
  return set;
}
