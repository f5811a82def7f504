"""The desk: what tasks on nodes say waits here for the run, and what it answers, for them."""

import asyncio
from typing import Any

Item = dict[str, Any]
"""`kind`, what belongs to it, and `asked`: the number that the answer goes to, 0 for none."""


class Desk:
    """An actor with asynchronous methods; any number of them wait at the same time."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[Item] = asyncio.Queue()
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._number = 0
        self._early: dict[str, dict[int, list[Item]]] = {}
        self._next: dict[str, int] = {}

    async def say(self, source: str, place: int, items: list[Item]) -> None:
        """Leave items for the run.

        Args:
            source: the process that says it.
            place: the number of this call among those of the process, from 1: calls may come in
                another order than they were made, and leave in their own.
            items: what is said.
        """
        self._in_turn(source, place, [{**item, "asked": 0} for item in items])

    def _in_turn(self, source: str, place: int, items: list[Item]) -> None:
        early = self._early.setdefault(source, {})
        early[place] = items
        due = self._next.get(source, 1)
        while due in early:
            for item in early.pop(due):
                self._arrived.put_nowait(item)
            due += 1
        self._next[source] = due

    async def ask(self, source: str, place: int, item: Item) -> Any:
        """Leave an item in its turn and wait for what the run answers; arguments as of `say`."""
        self._number += 1
        number = self._number
        self._open[number] = asyncio.get_running_loop().create_future()
        self._in_turn(source, place, [{**item, "asked": number}])
        try:
            return await self._open[number]
        finally:
            del self._open[number]

    async def answer(self, number: int, body: Any) -> None:
        """Answer a question; one whose asker is gone needs no answer."""
        waiting = self._open.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(body)

    async def take(self, wait: float) -> list[Item]:
        """Return what has arrived, after `wait` seconds at most; an empty list if nothing did."""
        try:
            items = [await asyncio.wait_for(self._arrived.get(), wait)]
        except TimeoutError:
            return []
        while not self._arrived.empty():
            items.append(self._arrived.get_nowait())
        return items
