// openid-client 6, as its documentation has it: what a web application does with a login.
import { failure, hear, say, settings } from "./talk.js";

const client = await import("openid-client");
const { issuer, client_id, client_secret, redirect_uri, post_logout_redirect_uri, resource } = settings;

const config = await client.discovery(new URL(issuer), client_id, client_secret, undefined, {
  execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks],
});

async function begin(more) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const checks = {
    pkceCodeVerifier,
    expectedState: client.randomState(),
    expectedNonce: client.randomNonce(),
    idTokenExpected: true,
  };
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri,
    scope: "openid profile email offline_access orders:read",
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: "S256",
    state: checks.expectedState,
    nonce: checks.expectedNonce,
    ...more,
  });
  say(url.href);
  return checks;
}

const form = await begin({ response_mode: "form_post", max_age: "3600" });
const first = await client.authorizationCodeGrant(config, await hear(), { ...form, maxAge: 3600 });

const query = await begin({ resource });
const tokens = await client.authorizationCodeGrant(config, await hear(), query);
const claims = tokens.claims();
const about = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
const told = await client.tokenIntrospection(config, refreshed.access_token);

const silent = await begin({ prompt: "none", scope: "openid" });
const refused = await failure(client.authorizationCodeGrant(config, await hear(), silent));

await client.tokenRevocation(config, refreshed.refresh_token);
say({
  first: first.claims(),
  claims,
  about,
  refreshed: refreshed.claims(),
  told,
  refused,
  revoked: await failure(client.refreshTokenGrant(config, refreshed.refresh_token)),
  end: client.buildEndSessionUrl(config, {
    post_logout_redirect_uri,
    id_token_hint: refreshed.id_token,
    state: "done",
  }).href,
});
process.exit(0);
