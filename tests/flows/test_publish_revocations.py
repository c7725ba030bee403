"""Publishing: numbers without gaps, none twice, every fact once, in few entries."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256

import pytest

from service.flows.begin_life import begin_life
from service.flows.publish_revocations import publish_revocations
from service.oauth.feed import Head
from tests.conftest import MakeSettings
from tests.faults.parts import Parts, open_parts, subjects

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def parts(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    """Parts whose database lives."""
    async with open_parts(await make_settings()) as opened:
        await begin_life(opened.database, opened.feed, opened.keyring, opened.settings.issuer)
        yield opened


async def publish(parts: Parts) -> list[int]:
    """Publish what is due; the numbers that it got."""
    _, entries = await publish_revocations(parts.database, parts.keyring, parts.settings.issuer)
    return [entry.number for entry in entries]


async def stored(parts: Parts, after: int) -> list[tuple[int, str]]:
    """The signed bytes in PostgreSQL, by number."""
    async with parts.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT number, jws FROM feed_entries WHERE number > $1 ORDER BY number", after
        )
    return [(row["number"], row["jws"]) for row in rows]


async def test_nothing_due_makes_no_entry(parts: Parts) -> None:
    await publish(parts)
    head = await parts.head()
    assert await publish(parts) == []
    assert await parts.head() == head


async def test_a_thousand_facts_come_out_as_few_entries(parts: Parts) -> None:
    await publish(parts)
    before = await parts.head()
    ids = await parts.revoke(1000)
    _, entries = await publish_revocations(parts.database, parts.keyring, parts.settings.issuer)
    assert [len(entry.facts) for entry in entries] == [256, 256, 256, 232]
    assert [entry.number for entry in entries] == [before.number + n for n in (1, 2, 3, 4)]
    assert [fact.subject for entry in entries for fact in entry.facts] == ids


async def test_one_publication_signs_at_most_sixteen_entries(parts: Parts) -> None:
    await publish(parts)
    await parts.revoke(4097)
    assert len(await publish(parts)) == 16
    assert len(await publish(parts)) == 1


async def test_each_entry_names_the_digest_of_the_one_before(parts: Parts) -> None:
    await publish(parts)
    before = await parts.head()
    await parts.revoke(600)
    numbers = await publish(parts)
    rows = await stored(parts, before.number)
    assert [number for number, _ in rows] == numbers
    assert (await parts.head()).digest == sha256(rows[-1][1].encode()).digest()
    await parts.keeper.tick()
    assert [entry.number for entry in await parts.entries(before)] == numbers


async def test_a_fact_that_commits_late_gets_a_later_number(parts: Parts) -> None:
    """Its id is lower than that of the one published before it."""
    await publish(parts)
    before = await parts.head()
    async with parts.database.transaction() as late:
        (second,) = await parts.revoke(over=late)
        (first,) = await parts.revoke()
        numbers = await publish(parts)
    numbers += await publish(parts)
    assert len(numbers) == 2
    await parts.keeper.tick()
    assert subjects(await parts.entries(before)) == [first, second]


async def test_publishers_at_once_give_each_number_once_and_each_fact_once(parts: Parts) -> None:
    await publish(parts)
    before = await parts.head()
    ids: list[str] = []
    numbers: list[int] = []

    async def revoke() -> None:
        for _ in range(10):
            ids.extend(await parts.revoke(20))

    async def relay() -> None:
        for _ in range(10):
            numbers.extend(await publish(parts))

    await asyncio.gather(revoke(), relay(), revoke(), relay(), relay(), relay())
    numbers += await publish(parts)
    head = await parts.head()
    assert sorted(numbers) == list(range(before.number + 1, head.number + 1))
    assert [number for number, _ in await stored(parts, before.number)] == sorted(numbers)
    async with parts.database.connection() as connection:
        facts = await connection.fetchval(
            "SELECT count(*) FROM revocations WHERE number > $1", before.number
        )
    assert facts == len(ids) == 400


async def test_nothing_is_numbered_while_the_database_has_no_life(
    make_settings: MakeSettings,
) -> None:
    async with open_parts(await make_settings()) as parts:
        ids = await parts.revoke(3)
        assert await publish(parts) == []
        await begin_life(parts.database, parts.feed, parts.keyring, parts.settings.issuer)
        await parts.keeper.publish()
        assert subjects(await parts.entries()) == ids


async def test_the_first_entry_chains_to_the_epoch_itself(make_settings: MakeSettings) -> None:
    async with open_parts(await make_settings()) as parts:
        epoch = (await parts.head()).epoch
        assert await parts.head() == Head(epoch, 0, sha256(epoch.encode()).digest())
        await begin_life(parts.database, parts.feed, parts.keyring, parts.settings.issuer)
        ids = await parts.revoke(2)
        assert await publish(parts) == [1]
        await parts.keeper.tick()
        assert subjects(await parts.entries()) == ids
