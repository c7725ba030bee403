// An orders API: GET / with a Bearer token. It verifies for itself, and asks nobody but its Redis.

import { createServer } from "node:http";
import { Redis } from "ioredis";
import { Feed, follow } from "./feed.js";
import { LookUp } from "./lookup.js";
import { InvalidToken, accessTokens } from "./token.js";

const {
  WATCHWORD_ISSUER: issuer = "http://localhost:8000",
  WATCHWORD_REDIS_URL: redisUrl = "redis://localhost:6379",
  WATCHWORD_REDIS_PREFIX: prefix = "ww",
  AUDIENCE: audience = "https://orders.example",
  REVOCATIONS: way = "feed", // or lookup
  MAX_STALENESS: seconds = "30",
  PORT: port = "3000",
} = process.env;

const report = (text) => console.error(`revocations: ${text}`);
const options = { prefix, maxStaleness: Number(seconds) * 1000, report };

/** A connection that fails soon where Redis is away, and is made again by itself. */
function connect(commandTimeout) {
  const redis = new Redis(redisUrl, {
    enableReadyCheck: false, // it would ask INFO, which verifiers may not
    maxRetriesPerRequest: 0,
    retryStrategy: () => 200,
    commandTimeout,
  });
  return redis.on("error", () => {}); // each command says it
}

function openRevocations() {
  if (way === "lookup") return new LookUp(issuer, connect(500), options);
  const feed = new Feed(issuer, options);
  follow(feed, connect(3000), options); // longer than it blocks
  return feed;
}

const verify = accessTokens(issuer, audience);
const revocations = openRevocations();

const invalid = (description) => [
  401,
  { "www-authenticate": `Bearer error="invalid_token", error_description="${description}"` },
];
const ANSWERS = {
  revoked: invalid("the access token is invalid, expired or revoked"),
  refresh: invalid("the access token must be refreshed"),
  stale: [503, { "retry-after": "1" }],
};

/** Status, headers and body of the answer to an Authorization header. */
async function answer(authorization = "") {
  const [, token] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
  if (!token) return [401, { "www-authenticate": "Bearer" }];
  try {
    const proven = await verify(token);
    const verdict = await revocations.judge(proven);
    if (verdict !== "good") return ANSWERS[verdict];
    const { sub, client_id, scope = "" } = proven.claims;
    if (!scope.split(" ").includes("orders:read")) {
      return [403, { "www-authenticate": 'Bearer error="insufficient_scope", scope="orders:read"' }];
    }
    return [200, {}, { orders: [], sub, client_id, scope }];
  } catch (error) {
    if (error instanceof InvalidToken) return ANSWERS.revoked;
    report(error.message);
    return ANSWERS.stale;
  }
}

const server = createServer(async (request, response) => {
  const [status, headers, body = {}] = await answer(request.headers.authorization);
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(`${JSON.stringify(body)}\n`);
});
server.listen(Number(port), "127.0.0.1", () => {
  console.log(`orders on http://127.0.0.1:${server.address().port}, revocations by ${way}`);
});
