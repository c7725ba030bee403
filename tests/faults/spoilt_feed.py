"""Ways to spoil what Redis has of a feed."""

from uuid import UUID

from service.keys.sign import sign
from service.keys.signer import PrivateKey
from service.oauth.feed import ENTRY_TYP, entry_claims, next_head
from service.oauth.signing_key import FEED
from service.oauth.uuid7 import next_epoch
from tests.faults.lost_writes import wipe_redis
from tests.faults.parts import Parts

STRANGER = PrivateKey.generate()


async def stream(parts: Parts) -> list[tuple[str, str]]:
    rows = await parts.redis.xrange(await parts.stream())
    return [(id_.decode(), fields[b"jws"].decode()) for id_, fields in rows]


async def rewrite(parts: Parts, rows: list[tuple[str, str]]) -> None:
    name = await parts.stream()
    await parts.redis.delete(name)
    for id_, jws in rows:
        await parts.redis.xadd(name, {"jws": jws}, id=id_)


async def no_redis(parts: Parts) -> None:
    await wipe_redis(parts)


async def no_heartbeat(parts: Parts) -> None:
    await parts.redis.delete(f"{parts.root}:heartbeat")


async def no_stream(parts: Parts) -> None:
    await parts.redis.delete(await parts.stream())


async def no_last_entry(parts: Parts) -> None:
    await rewrite(parts, (await stream(parts))[:-1])


async def a_hole(parts: Parts) -> None:
    rows = await stream(parts)
    await rewrite(parts, [*rows[:-2], rows[-1]])


async def two_swapped(parts: Parts) -> None:
    rows = await stream(parts)
    swapped = [(rows[-2][0], rows[-1][1]), (rows[-1][0], rows[-2][1])]
    await rewrite(parts, [*rows[:-2], *swapped])


async def one_twice(parts: Parts) -> None:
    rows = await stream(parts)
    await rewrite(parts, [*rows, (rows[-1][0].replace("-0", "-1"), rows[-1][1])])


async def forge_last(parts: Parts, signer: PrivateKey | None = None, **members: object) -> None:
    """Replace the last entry by one with other claims, or of another signer."""
    rows, head = await stream(parts), await parts.head()
    claims = entry_claims(parts.settings.issuer, head, [])
    claims |= {"facts": [{"jti": "x", "exp": 4_000_000_000}], **members}
    forged = sign(signer or parts.keyring.key_set(FEED).signer, ENTRY_TYP, claims)
    await rewrite(parts, [*rows[:-1], (rows[-1][0], forged)])


async def a_wrong_prev(parts: Parts) -> None:
    await forge_last(parts)


async def a_wrong_epoch(parts: Parts) -> None:
    head = await parts.head()
    await forge_last(parts, epoch=str(next_epoch(UUID(head.epoch), 0, bytes(10))))


async def a_wrong_issuer(parts: Parts) -> None:
    await forge_last(parts, iss="https://else.example")


async def a_strangers_entry(parts: Parts) -> None:
    await forge_last(parts, STRANGER)


async def garbage(parts: Parts) -> None:
    rows = await stream(parts)
    await rewrite(parts, [*rows[:-1], (rows[-1][0], "garbage")])


async def a_fork(parts: Parts) -> None:
    """Another history, rightly signed, up to the number that the heartbeat names."""
    head, rows = await parts.head(), await stream(parts)
    kept = rows[:-3]
    signer = parts.keyring.key_set(FEED).signer
    for number in range(head.number + 1, head.number + 4):
        claims = entry_claims(parts.settings.issuer, head, [])
        claims["facts"] = [{"jti": f"other-{number}", "exp": 4_000_000_000}]
        jws = sign(signer, ENTRY_TYP, claims)
        kept.append((f"{number}-0", jws))
        head = next_head(head, jws)
    await rewrite(parts, kept)
