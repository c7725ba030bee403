"""Flights: what is asked by several at once is done once, and each gets the answer."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Flights(Generic[_T]):
    """Work under way by key. Who comes first does it; who comes meanwhile waits for the answer."""

    def __init__(self) -> None:
        # None as long as nobody waits: most flights have one passenger.
        self._under_way: dict[Hashable, asyncio.Future[_T] | None] = {}

    async def share(self, key: Hashable, work: Callable[[], Awaitable[_T]]) -> _T:
        """The answer, or the exception, of the work; where its doer is cancelled another begins."""
        while key in self._under_way:
            answer = self._under_way[key]
            if answer is None:
                answer = self._under_way[key] = asyncio.get_running_loop().create_future()
            try:
                return await asyncio.shield(answer)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not answer.cancelled() or (task is not None and task.cancelling()):
                    raise
        self._under_way[key] = None
        try:
            result = await work()
        except BaseException as error:
            self._tell(key, error)
            raise
        if (answer := self._under_way.pop(key)) is not None:
            answer.set_result(result)
        return result

    def _tell(self, key: Hashable, error: BaseException) -> None:
        answer = self._under_way.pop(key)
        if answer is None:
            return
        if isinstance(error, Exception):
            answer.set_exception(error)
            answer.exception()  # every waiter may have gone by now
        else:
            answer.cancel()
