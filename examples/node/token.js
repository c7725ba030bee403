// An access token: signature and claims, by the JWKS alone. Whether it was revoked is not known here.

import { errors, jwtVerify } from "jose";
import { keySet } from "./keys.js";

/** The token is at fault: 401. */
export class InvalidToken extends Error {}

/** Nobody can say, for now: 503. */
export class Unavailable extends Error {}

/** A function that gives a token's {kid, claims}, or throws InvalidToken or Unavailable. */
export function accessTokens(issuer, audience, keys = keySet(issuer, "jwks.json")) {
  const options = {
    issuer,
    audience,
    algorithms: ["RS256", "ES256"],
    typ: "at+jwt", // an ID Token is none: RFC 9068 §4
    requiredClaims: ["exp", "sub", "client_id", "jti"],
    maxTokenAge: 600, // no token lives longer; and no `iat` lies in the future
    clockTolerance: 30,
  };
  return async (token) => {
    try {
      const { protectedHeader, payload } = await jwtVerify(token, keys, options);
      // One token, one audience. One that is bound to a key needs a proof, which is not asked for here.
      if (payload.aud !== audience || payload.cnf) throw new InvalidToken("not for here");
      return { kid: protectedHeader.kid, claims: payload };
    } catch (error) {
      if (error instanceof InvalidToken) throw error;
      throw isOutage(error) ? new Unavailable(error.message) : new InvalidToken(error.message);
    }
  };
}

/** Whether the key set could not be had, which is no fault of the token. */
export function isOutage(error) {
  const outages = [errors.JWKSTimeout.code, errors.JWKSInvalid.code, errors.JOSEError.code];
  return !(error instanceof errors.JOSEError) || outages.includes(error.code);
}
