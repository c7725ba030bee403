"""The tour: what `watchword dev` prints and the README walks through, each line as pasted."""

from typing import NamedTuple

_INTROSPECT = (
    'curl -s -u "$CLIENT_ID:$CLIENT_SECRET" -d "token=$TOKEN" $WATCHWORD_ISSUER/introspect; echo'
)


class Step(NamedTuple):
    """One step: what it shows, and its command line."""

    title: str
    command: str


TOUR = (
    Step(
        "A machine token",
        'TOKEN=$(curl -s -u "$CLIENT_ID:$CLIENT_SECRET" -d grant_type=client_credentials '
        '$WATCHWORD_ISSUER/token | sed -E \'s/.*"access_token":"([^"]+)".*/\\1/\'); echo $TOKEN',
    ),
    Step(
        "Its claims",
        'CLAIMS=$(echo "$TOKEN" | cut -d. -f2 | tr _- /+ | base64 -d 2>/dev/null); echo "$CLAIMS"',
    ),
    Step(
        "The keys that verify it, anywhere",
        "curl -s $WATCHWORD_ISSUER/.well-known/jwks.json; echo",
    ),
    Step("Introspect it", _INTROSPECT),
    Step(
        "Revoke it",
        'curl -s -u "$CLIENT_ID:$CLIENT_SECRET" -d "token=$TOKEN" -w "%{http_code}\\n" '
        "$WATCHWORD_ISSUER/revoke",
    ),
    Step("Introspect it again", _INTROSPECT),
    Step(
        "The revocation in Redis, where every verifier sees it",
        'JTI=$(echo "$CLAIMS" | sed -E \'s/.*"jti":"([^"]+)".*/\\1/\'); '
        'redis-cli --no-auth-warning -u "$WATCHWORD_REDIS_URL" '
        'GET "{$WATCHWORD_REDIS_PREFIX}:feed:jti:$JTI"',
    ),
)
