// oauth4webapi 3, step by step: every check that it has, and an API that takes the access token.
import { failure, hear, say, settings } from "./talk.js";

const o = await import("oauth4webapi");
const { client_id, client_secret, redirect_uri, post_logout_redirect_uri, resource } = settings;

const issuer = new URL(settings.issuer);
const options = { [o.allowInsecureRequests]: true };
const client = { client_id, require_auth_time: true };
const authentication = o.ClientSecretBasic(client_secret);

async function discover(algorithm) {
  const answer = await o.discoveryRequest(issuer, { algorithm, ...options });
  return o.processDiscoveryResponse(issuer, answer);
}

const as = await discover("oidc");
const same = JSON.stringify(as) === JSON.stringify(await discover("oauth2"));

async function authorize(more) {
  const verifier = o.generateRandomCodeVerifier();
  const [state, nonce] = [o.generateRandomState(), o.generateRandomNonce()];
  const url = new URL(as.authorization_endpoint);
  url.search = new URLSearchParams({
    client_id,
    redirect_uri,
    response_type: "code",
    scope: "openid profile email offline_access orders:read",
    code_challenge: await o.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    nonce,
    ...more,
  });
  say(url.href);
  const parameters = o.validateAuthResponse(as, client, await hear(), state);
  const answer = await o.authorizationCodeGrantRequest(
    as, client, authentication, parameters, redirect_uri, verifier, options,
  );
  const expected = { expectedNonce: nonce, requireIdToken: true };
  return [answer, await o.processAuthorizationCodeResponse(as, client, answer, expected)];
}

const [answer, tokens] = await authorize({ resource });
await o.validateApplicationLevelSignature(as, answer, options);
const claims = o.getValidatedIdTokenClaims(tokens);
const about = await o.processUserInfoResponse(
  as, client, claims.sub, await o.userInfoRequest(as, client, tokens.access_token, options),
);

const refresh = async (token) =>
  o.processRefreshTokenResponse(
    as, client, await o.refreshTokenGrantRequest(as, client, authentication, token, options),
  );
const refreshed = await refresh(tokens.refresh_token);

// RFC 9068, as an API has it.
const headers = { authorization: `Bearer ${refreshed.access_token}` };
const access = await o.validateJwtAccessToken(
  as, new Request(resource, { headers }), resource, options,
);

const token = refreshed.access_token;
const introspect = async () =>
  o.processIntrospectionResponse(
    as, client, await o.introspectionRequest(as, client, authentication, token, options),
  );
const told = await introspect();
await o.processRevocationResponse(
  await o.revocationRequest(as, client, authentication, refreshed.refresh_token, options),
);

const refused = await failure(authorize({ prompt: "none", scope: "openid" }));
const end = new URL(as.end_session_endpoint);
end.search = new URLSearchParams({
  client_id, post_logout_redirect_uri, id_token_hint: tokens.id_token, state: "done",
});
say({
  same,
  claims,
  about,
  access,
  told,
  after: await introspect(),
  revoked: await failure(refresh(refreshed.refresh_token)),
  refused,
  end: end.href,
});
process.exit(0);
