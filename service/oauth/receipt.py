"""Receipts: a verifier's word how far it has followed the feed, and which keys it holds."""

import re
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from service.oauth.errors import InvalidRequest

# A verifier that has not reported for so long is missing; after this it is forgotten.
MISSING_AFTER = timedelta(seconds=30)
RECEIPT_TTL = timedelta(minutes=10)
# Below the head for so long: it does not keep up.
BEHIND_AFTER = timedelta(seconds=5)

_NAME = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_EPOCH = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_KIDS = re.compile(r"(?:[A-Za-z0-9._-]{1,128}(?: [A-Za-z0-9._-]{1,128}){0,49})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a client's verifier of that name reports: its place, and the keys that it holds."""

    client_id: str
    name: str
    epoch: UUID
    number: int
    kids: tuple[str, ...]

    @property
    def place(self) -> tuple[UUID, int]:
        """What only rises: epochs are UUIDv7, which sort by time."""
        return (self.epoch, self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownVerifier:
    """A verifier as it reported last, `age` ago."""

    client_id: str
    name: str
    epoch: UUID
    number: int
    kids: tuple[str, ...]
    age: timedelta

    def has_seen(self, epoch: UUID, number: int) -> bool:
        """Whether it has processed that entry; in a later epoch every fact was signed again."""
        return (self.epoch, self.number) >= (epoch, number)


def read_name(name: str) -> str:
    """The name of a verifier. Raises InvalidRequest."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest("name must be 1 to 128 of A-Z a-z 0-9 . _ : -")
    return name


def read_receipt(client_id: str, *, name: str, epoch: str, number: str, kids: str) -> Receipt:
    """The receipt in a form's parameters. Raises InvalidRequest."""
    if not _EPOCH.fullmatch(epoch):
        raise InvalidRequest("epoch must be a UUID in lower case")
    if not _NUMBER.fullmatch(number):
        raise InvalidRequest("number must be an integer from 0 on")
    if not _KIDS.fullmatch(kids):
        raise InvalidRequest("kids must be at most 50 key ids with spaces between")
    return Receipt(
        client_id=client_id,
        name=read_name(name),
        epoch=UUID(epoch),
        number=int(number),
        kids=tuple(kids.split()),
    )
