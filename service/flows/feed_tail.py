"""The feed's last entries in memory: followers who are nearly there cost no query."""

# No more than one page of the feed over HTTP.
_MAX_ENTRIES = 128
_MAX_BYTES = 1024 * 1024


class FeedTail:
    """The newest entries that this pod made or heard of, as far as they fit, without a gap."""

    def __init__(self) -> None:
        self._epoch = ""
        self._last = 0
        self._entries: list[str] = []
        self._bytes = 0

    def add(self, epoch: str, number: int, jws: str) -> None:
        """The next entry. One that was heard before changes nothing; after a gap it begins anew."""
        if (epoch, number) <= (self._epoch, self._last):
            return
        if epoch != self._epoch or number != self._last + 1:
            self._entries, self._bytes = [], 0
        self._epoch, self._last = epoch, number
        self._entries.append(jws)
        self._bytes += len(jws)
        while self._bytes > _MAX_BYTES or len(self._entries) > _MAX_ENTRIES:
            self._bytes -= len(self._entries.pop(0))

    def find(self, epoch: str, after: int, last: int) -> list[str] | None:
        """The entries from `after` + 1 to `last`; None unless every one of them is here."""
        before = self._last - len(self._entries)
        if epoch != self._epoch or not before <= after < last <= self._last:
            return None
        return self._entries[after - before : last - before]
