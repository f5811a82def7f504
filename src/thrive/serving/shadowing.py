"""Versions in the shadow: copies of what was answered, within bounds that callers do not feel.

A copy is queued after its answer is sent. Reading, sending and logging it takes time of the worker
that answers, so copies have a share of that time: while traffic would need more, the shadows see a
part of it, and what they do not see is counted.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec

from thrive.packaging.rows import InvalidRows
from thrive.serving import records
from thrive.serving.answers import Answer, Part
from thrive.serving.asked import Asked
from thrive.serving.assemble import Assembled, FeaturesMissing
from thrive.serving.assignment import drawn
from thrive.serving.counters import WorkerState
from thrive.serving.isolation import CandidateFailed
from thrive.serving.live import Beside, LiveModel
from thrive.serving.records import Logged

_logger = logging.getLogger(__name__)

SHADOW_QUEUE = 256
"""Requests that wait for the shadows of a worker; those that find no room are left out."""
SHADOW_ROWS = 20_000
"""Rows that wait for them: what the copies of large requests may take of the memory."""
SHADOW_BYTES = 32 << 20
"""Bytes of the bodies they came in, likewise: a row may hold long texts."""
SHADOW_DEADLINE_S = 2.0
"""How long a shadow may take for an answer before it counts as failed."""
SHADOW_SHARE = 0.05
"""How much of a worker's time its shadows may take; while there is more traffic, a part is seen."""
LONGEST_SHADOW_PAUSE_S = 1.0
_SHADOW_UNSEEN = 3
"""A copy costs the event loop so many times what reading and logging it takes."""
_NOTHING = Assembled(rows=0, columns={}, keys={})


class Shadows:
    """The shadows of one worker's models.

    Args:
        state: where they are counted.
        write: counts and logs what one did.
    """

    def __init__(self, state: WorkerState, write: Callable[[Asked, Logged], None]) -> None:
        self._state = state
        self._write = write
        self._rows = 0
        self._bytes = 0
        self._leaving = False
        self._queue: asyncio.Queue[tuple[Beside, LiveModel, Asked, str, int]] = asyncio.Queue(
            SHADOW_QUEUE
        )

    def copy(self, live: LiveModel, asked: Asked, parts: list[Part], size: int) -> None:
        """Queue a request for its model's shadows; called after the answer is sent.

        Args:
            live: the model.
            asked: the request.
            parts: its rows and their answers.
            size: bytes of its body.
        """
        for part in parts:
            copied = msgspec.structs.replace(asked, rows=part.rows, count=len(part.rows))
            self._copy(live, copied, part.answer, size * len(part.rows) // max(asked.count, 1))

    def has_room(self, live: LiveModel, rows: int, size: int) -> bool:
        """Tell whether a copy of so many rows and bytes would be seen; count it if not."""
        if self._is_full(rows, size):
            self._state.shadow_dropped += len(live.shadows)
            return False
        return True

    def _is_full(self, rows: int, size: int) -> bool:
        return (
            self._queue.full()
            or self._rows + rows > SHADOW_ROWS
            or self._bytes + size > SHADOW_BYTES
        )

    def _copy(self, live: LiveModel, asked: Asked, answer: Answer, size: int) -> None:
        for shadow in live.shadows:
            itself = answer.version == shadow.variant.version
            place = answer.record_id
            if itself or not place or not drawn("shadow", place, shadow.variant.share):
                continue
            if self._is_full(asked.count, size):
                self._state.shadow_dropped += 1
                continue
            self._rows += asked.count
            self._bytes += size
            self._queue.put_nowait((shadow, live, asked, answer.record_id, size))

    async def run(self) -> None:
        """Have queued requests answered, one at a time and within the share, for ever."""
        while True:
            shadow, live, asked, live_id, size = await self._queue.get()
            spent = 0.0
            try:
                spent = await self._ask(live, asked, shadow, live_id)
            except Exception:
                _logger.exception("a shadow request of %s was lost", live.served.model)
            finally:
                self._rows -= asked.count
                self._bytes -= size
                self._queue.task_done()
            if not self._leaving:
                pause = _SHADOW_UNSEEN * spent / SHADOW_SHARE
                await asyncio.sleep(min(pause, LONGEST_SHADOW_PAUSE_S))

    async def finish(self, timeout_s: float) -> None:
        """Wait until the queue is empty, at most for a time."""
        self._leaving = True
        try:
            await asyncio.wait_for(self._queue.join(), timeout_s)
        except TimeoutError:
            self._state.shadow_dropped += self._queue.qsize()

    async def _ask(self, live: LiveModel, asked: Asked, shadow: Beside, live_id: str) -> float:
        """Have a shadow answer, and log it; return how long this process was at it (s)."""
        scores: list[float | None] = []
        decisions: list[Any] = []
        micros, error, assembled = 0, "", _NOTHING
        began, waited = time.perf_counter(), 0.0
        try:
            assembled = shadow.assembler.read(asked.rows, asked.at)
            rows = shadow.own_rows(assembled.inputs)
            waited = time.perf_counter()
            try:
                reply = await shadow.process.ask(rows, SHADOW_DEADLINE_S)
            finally:
                waited = time.perf_counter() - waited
            scores, decisions, micros = reply.scores, reply.decisions, reply.micros
        except (InvalidRows, FeaturesMissing) as problem:
            error = f"input: {problem.what}"[:200]
        except CandidateFailed as failure:
            if shadow.process.closed:  # the routing moved on: that is no failure of the version
                self._state.shadow_dropped += 1
                return 0.0
            error = failure.reason
        self._write(
            asked,
            Logged(
                m=live.served.model,
                v=shadow.variant.version,
                a=records.SHADOW,
                t=asked.at,
                n=asked.count,
                x=assembled.logged(live.mask),
                k=records.unmasked(assembled.keys, live.mask),
                y=scores,
                d=decisions,
                us=micros,
                e=error,
                p=live_id,
                c=asked.trace,
            ),
        )
        return time.perf_counter() - began - waited
