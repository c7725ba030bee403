"""The tour: what `watchword dev` prints and the README walks through, each line as pasted."""

from typing import NamedTuple

_INTROSPECT = (
    'curl -s -u "$CLIENT_ID:$CLIENT_SECRET" -d "token=$TOKEN" $WATCHWORD_ISSUER/introspect; echo'
)


_LOGIN = (
    "ACCESS=$(api $WATCHWORD_ISSUER/api/login "
    """-d '{"username":"anna","password":"a walk by the river"}' """
    """| sed -E 's/.*"access_token":"([^"]+)".*/\\1/'); echo $ACCESS"""
)
_REFRESH = "api $WATCHWORD_ISSUER/api/refresh -d '{}'"
_ME = 'api $WATCHWORD_ISSUER/api/me -H "Authorization: Bearer $ACCESS"'


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
    Step(
        "A web app, played by curl: a cookie jar, and the headers that its pages send",
        "api() { curl -s -b $JAR -c $JAR -H 'Content-Type: application/json' "
        """-H 'X-Requested-With: curl' -H "Origin: $WATCHWORD_ISSUER" "$@"; echo; }""",
    ),
    Step(
        "Register",
        """api $WATCHWORD_ISSUER/api/register -d '{"username":"anna","email":"anna@example.com","""
        """"full_name":"Anna Lee","password":"a walk by the river"}'""",
    ),
    Step("Log in: the access token in the answer, the refresh token in the jar alone", _LOGIN),
    Step("Who am I", _ME),
    Step("A thief copies the jar", "cp $JAR $JAR.stolen"),
    Step("Refresh: each refresh token is good once", _REFRESH),
    Step("And again", _REFRESH),
    Step(
        "The thief comes with a token that was spent two refreshes ago",
        f"JAR=$JAR.stolen {_REFRESH}",
    ),
    Step("That ended the session, for the thief and for Anna: access token", _ME),
    Step("and refresh token", _REFRESH),
    Step("Anna logs in anew", _LOGIN),
    Step(
        "and sees why",
        'api $WATCHWORD_ISSUER/api/sessions -H "Authorization: Bearer $ACCESS"',
    ),
    Step(
        "Log out everywhere",
        'api $WATCHWORD_ISSUER/api/sessions -X DELETE -H "Authorization: Bearer $ACCESS" '
        "-w '%{http_code}'",
    ),
    Step("No token of hers is good any more", _ME),
)
