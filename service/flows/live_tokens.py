"""Whether tokens are live, asked of PostgreSQL by many requests in one statement."""

import asyncio
from dataclasses import dataclass

from service.oauth.access_token import AccessToken
from service.sql.connection import Database
from service.sql.revocations import are_tokens_live

_MAX_TOGETHER = 256


@dataclass(frozen=True, slots=True)
class _Question:
    access: AccessToken
    answer: "asyncio.Future[bool | None]"


class LiveTokens:
    """One statement at a time; questions that come meanwhile share the next one.

    No answer is older than its question: a statement only answers what was asked before it began.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._questions: list[_Question] = []
        self._asking: asyncio.Task[None] | None = None

    async def is_live(self, access: AccessToken) -> bool | None:
        """Whether neither the token nor its client was revoked since it was made.

        None while the database begins a new life: it may have forgotten the last revocations.
        Raises DatabaseUnavailable.
        """
        question = _Question(access, asyncio.get_running_loop().create_future())
        self._questions.append(question)
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await question.answer

    async def _ask(self) -> None:
        try:
            while self._questions:
                together = self._questions[:_MAX_TOGETHER]
                del self._questions[:_MAX_TOGETHER]
                await self._answer(together)
        finally:
            self._asking = None

    async def _answer(self, questions: list[_Question]) -> None:
        try:
            async with self._database.connection() as connection:
                tokens = [question.access for question in questions]
                answers = await are_tokens_live(connection, tokens)
        except Exception as error:  # noqa: BLE001 (it is each asker's)
            for question in questions:
                if not question.answer.done():
                    question.answer.set_exception(error)
            return
        for question, answer in zip(questions, answers, strict=True):
            if not question.answer.done():
                question.answer.set_result(answer)
