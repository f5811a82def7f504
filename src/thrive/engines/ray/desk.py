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

    async def say(self, items: list[Item]) -> None:
        """Leave items for the run, in their order."""
        for item in items:
            self._arrived.put_nowait({**item, "asked": 0})

    async def ask(self, item: Item) -> Any:
        """Leave an item and wait for what the run answers."""
        self._number += 1
        number = self._number
        self._open[number] = asyncio.get_running_loop().create_future()
        self._arrived.put_nowait({**item, "asked": number})
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
