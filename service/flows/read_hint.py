"""Whom an ID Token of ours was about: `id_token_hint`. Core §3.1.2.1, RP-Initiated Logout §2."""

import json
from uuid import UUID

from service.keys.jwk import Verifier
from service.keys.keyring import Keyring
from service.oauth.id_token import IdTokenHint, read_id_token_hint
from service.oauth.jws import CompactJws, parse_compact, parse_payload
from service.oauth.signing_key import TOKEN
from service.sql.connection import Database
from service.sql.signing_keys import find_former_public_jwk


async def find_hinted_user(
    hint: str | None, keyring: Keyring, database: Database, issuer: str
) -> UUID | None:
    """The user of a hint; None where there is none, or nothing of it is proven."""
    if hint is None:
        return None
    found = await read_hint(hint, keyring, database, issuer)
    return found.user_id if found else None


async def read_hint(
    hint: str, keyring: Keyring, database: Database, issuer: str
) -> IdTokenHint | None:
    """What a hint proves; None unless this issuer signed it, however long ago.

    A key that is not published any more still proves what it signed, unless it was killed.
    Raises DatabaseUnavailable.
    """
    jws = parse_compact(hint)
    claims = parse_payload(jws.payload) if jws is not None else None
    if jws is None or claims is None or jws.kid is None:
        return None
    if not keyring.verify(jws, TOKEN) and not await _verify_by_former_key(database, jws):
        return None
    return read_id_token_hint(jws.header, claims, issuer)


async def _verify_by_former_key(database: Database, jws: CompactJws) -> bool:
    async with database.connection() as connection:
        jwk = await find_former_public_jwk(connection, jws.kid or "", TOKEN)
    if jwk is None:
        return False
    verifier = Verifier(json.loads(jwk))
    return jws.header.get("alg") == verifier.alg and verifier.verify(
        jws.signing_input, jws.signature
    )
