"""Flights: what is asked by several at once is done once, and each gets the answer."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Flights(Generic[_T]):
    """Work under way by key. It ends though those who wait for it go away."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[_T]] = {}

    async def share(self, key: Hashable, work: Callable[[], Awaitable[_T]]) -> _T:
        """The answer or exception of the work under way for the key; begin it if there is none."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.ensure_future(_run(work))
            task.add_done_callback(lambda done: self._finish(key, done))
        return await asyncio.shield(task)

    def _finish(self, key: Hashable, task: asyncio.Task[_T]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # every waiter may have gone by now


async def _run(work: Callable[[], Awaitable[_T]]) -> _T:
    return await work()
