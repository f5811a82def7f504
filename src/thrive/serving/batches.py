"""Natural batching: whatever waits is answered together, and nobody waits for company.

The first question of a turn of the event loop asks for a flush in the next one; whatever was read
from sockets until then goes to the model in one call. There is no timer: alone, a question is
answered at once. For a model whose call costs much more than its rows this is worth a factor of
ten under load.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

T = TypeVar("T")
MOST_ROWS = 512
"""Rows after which a batch is full: the event loop is held no longer than these take."""


class Batcher(Generic[T]):
    """Answers questions to one model.

    Args:
        predict: answers many rows, one answer a row.
        join: makes one question of several.
    """

    def __init__(self, predict: Callable[[T], NDArray[Any]], join: Callable[[list[T]], T]) -> None:
        self._predict = predict
        self._join = join
        self._waiting: list[tuple[T, int, asyncio.Future[NDArray[Any]]]] = []
        self.largest = 0

    def ask(self, question: T, rows: int) -> asyncio.Future[NDArray[Any]]:
        """Return the answer to come, one a row; raises what the model raises."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[NDArray[Any]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((question, rows, answer))
        return answer

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        batch: list[tuple[T, int, asyncio.Future[NDArray[Any]]]] = []
        size = 0
        for one in waiting:
            if batch and size + one[1] > MOST_ROWS:
                self._answer(batch, size)
                batch, size = [], 0
            batch.append(one)
            size += one[1]
        self._answer(batch, size)

    def _answer(self, batch: list[tuple[T, int, asyncio.Future[NDArray[Any]]]], rows: int) -> None:
        if len(batch) == 1:
            self._answer_one(*batch[0])
            return
        try:
            found = self._predict(self._join([question for question, _, _ in batch]))
        except Exception:  # noqa: BLE001 - one question may be at fault: each is asked alone
            for each in batch:
                self._answer_one(*each)
            return
        self.largest = max(self.largest, rows)
        begin = 0
        for _, count, answer in batch:
            if not answer.done():  # its caller may have left
                answer.set_result(found[begin : begin + count])
            begin += count

    def _answer_one(self, question: T, _: int, answer: asyncio.Future[NDArray[Any]]) -> None:
        if answer.done():
            return
        try:
            answer.set_result(self._predict(question))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asked
            answer.set_exception(error)
