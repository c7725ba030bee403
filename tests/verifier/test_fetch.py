"""Requests to the issuer: to safe addresses alone, bounded, and nothing but Unreachable if not.

RS-6, ATK-21.
"""

import gzip
import json
from collections.abc import AsyncIterator, Iterator

import pytest
from watchword_verifier import RevocationsStale, Revoked
from watchword_verifier._fetch import Fetcher, Unreachable
from watchword_verifier._introspect import confirm

from tests.verifier.issuer import Answer, Issuer, serving

PATH = "/document"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with serving() as issuer:
        yield issuer


@pytest.fixture
async def fetcher(issuer: Issuer) -> AsyncIterator[Fetcher]:
    async with Fetcher(issuer.url, ("orders", "wws_secret"), None) as opened:
        yield opened


async def get(fetcher: Fetcher, url: str | None = None) -> bytes:
    answer = await fetcher.get(url or fetcher.issuer + PATH, max_length=1000)
    return answer.body


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/",
        "http://127.0.0.1.evil.example/",
        "https://a:b@evil.example/",
        "https://\0/",
        "https://a\n.example/",
        "https://xn--ü/",
        "https://[::1",
        "https://" + "a" * 70_000,
        "https:///document",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "/document",
        "no address",
    ],
    ids=lambda url: f"{url!a:.24}",
)
async def test_an_address_that_is_none_or_unsafe_is_not_reached(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(Unreachable):
        await get(fetcher, url)


async def test_only_a_plain_200_is_an_answer(issuer: Issuer, fetcher: Fetcher) -> None:
    """RS-6: a redirect is not followed, whatever it leads to."""
    issuer.answers[PATH] = Answer(b"good")
    assert await get(fetcher) == b"good"
    for status in (201, 204, 301, 302, 307, 401, 404, 500, 503):
        elsewhere = {"location": f"{issuer.url}/elsewhere"}
        issuer.answers[PATH] = Answer(b"", status, elsewhere)
        with pytest.raises(Unreachable) as raised:
            await get(fetcher)
        assert raised.value.status == status
    assert issuer.requests["/elsewhere"] == 0


@pytest.mark.parametrize(("length", "fits"), [(1000, True), (1001, False), (5_000_000, False)])
async def test_an_answer_is_bounded(
    issuer: Issuer, fetcher: Fetcher, length: int, fits: bool
) -> None:
    issuer.answers[PATH] = Answer(b"a" * length)
    if fits:
        assert len(await get(fetcher)) == length
    else:
        with pytest.raises(Unreachable, match="longer than 1000"):
            await get(fetcher)


async def test_atk_21_a_compressed_answer_is_never_unpacked(
    issuer: Issuer, fetcher: Fetcher
) -> None:
    """ATK-21: 20 MB in 20 kB would be in memory before any limit sees them."""
    packed = gzip.compress(b" " * 500_000)
    issuer.answers[PATH] = Answer(packed, headers={"content-encoding": "gzip"})
    assert await get(fetcher) == packed


@pytest.mark.parametrize(
    ("header", "age"),
    [
        ("max-age=60", 60),
        ("public, max-age=60, immutable", 60),
        ("public,max-age=60", 60),
        ("s-maxage=60", None),
        ("max-age=-1", None),
        ("max-age=a", None),
        ("max-age=99999999999", None),
        ("x-max-age=60", None),
        ("", None),
    ],
)
async def test_how_long_it_may_be_kept(
    issuer: Issuer, fetcher: Fetcher, header: str, age: int | None
) -> None:
    issuer.answers[PATH] = Answer(b"", headers={"cache-control": header})
    answer = await fetcher.get(fetcher.issuer + PATH, max_length=1000)
    assert answer.max_age == age


async def test_who_is_closed_reaches_nothing(issuer: Issuer) -> None:
    fetcher = Fetcher(issuer.url, None, None)
    issuer.answers[PATH] = Answer(b"good")
    for _ in range(2):
        with pytest.raises(Unreachable, match="not started, or is closed"):
            await get(fetcher)
        async with fetcher:
            assert await get(fetcher) == b"good"


async def test_no_secret_stands_in_what_went_wrong(fetcher: Fetcher) -> None:
    """ATK-96: nor what was asked."""
    with pytest.raises(Unreachable) as raised:
        await fetcher.get(
            "http://127.0.0.1:9/path", max_length=1, params={"after": 17}, authenticated=True
        )
    assert str(raised.value) == "http://127.0.0.1:9/path: ConnectError"


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b"[]", b"[1]", b'"active"', b"null", b"1", b"\xff", b"NaN"),
        *(b"[" * 60_000, b'{"active":' * 6_000, b'{"active":true,"active":true}'),
        b'{"active":true,"x":"' + b"a" * 70_000 + b'"}',
    ],
    ids=lambda body: f"{body[:24]!r}",
)
async def test_an_introspection_that_is_no_answer_is_none(
    issuer: Issuer, fetcher: Fetcher, body: bytes
) -> None:
    """DIST-8: 503, and nothing worse."""
    issuer.answers["/introspect"] = Answer(body)
    with pytest.raises(RevocationsStale):
        await confirm(fetcher, "a.b.c")


@pytest.mark.parametrize("active", [False, None, 1, "true", [], {}])
async def test_only_true_is_active(issuer: Issuer, fetcher: Fetcher, active: object) -> None:
    issuer.answers["/introspect"] = Answer(json.dumps({"active": active}).encode())
    with pytest.raises(Revoked):
        await confirm(fetcher, "a.b.c")
    issuer.answers["/introspect"] = Answer(b'{"active":true,"scope":"a","aud":["b"]}')
    await confirm(fetcher, "a.b.c")
