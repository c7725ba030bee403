"""Following the signing keys from tick to tick: they are read at once, and new ones made beside."""

import asyncio

from service.flows.load_keys import create_missing_keys, load_keys, renew_keys
from service.keys.keyring import Keyring, KeyringError
from service.keys.signer import SignerUnavailable
from service.sql.connection import Database, DatabaseUnavailable
from service.sql.feed import FeedState
from service.telemetry import log


class KeyFollower:
    """What a pod does where the keys are not those that it has read.

    Heartbeats wait for the reading, and not for a new key: hardware may take a minute to make one,
    or be away, and verifiers that hear nothing would refuse every token.
    """

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._keys_of: tuple[str, str, tuple[str, ...]] | None = None
        self._changed = asyncio.Event()

    async def follow(self, state: FeedState) -> bool:
        """Take the keys over where they changed or an epoch begins; whether they did.

        Raises DatabaseUnavailable, KeyringError.
        """
        keys_of = (state.head.epoch, state.keys_mark, state.killed_kids)
        if keys_of == self._keys_of:
            return False
        try:
            await self._load()
        except SignerUnavailable as error:  # the feed's keys are read; tokens wait for hardware
            log.warning("keys_postponed", reason=str(error))
        self._keys_of = keys_of
        self._changed.set()
        return True

    async def run(self) -> None:
        """Make what is missing after each change, until cancelled; a failed try is the next one's.

        Who keeps the keys' lives tries again within seconds.
        """
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await create_missing_keys(self._database, self._keyring.store)
            except (DatabaseUnavailable, SignerUnavailable) as error:
                log.warning("keys_postponed", reason=str(error))
            except Exception as error:  # noqa: BLE001 (the loop must outlive any fault)
                log.error("keys_failed", error=repr(error))

    async def _load(self) -> None:
        try:
            await load_keys(self._database, self._keyring)
        except KeyringError:  # none signs any more: there is nothing that could go on meanwhile
            await renew_keys(self._database, self._keyring)
