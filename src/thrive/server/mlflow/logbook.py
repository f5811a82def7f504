"""What clients log, written together: whoever waits while one transaction commits shares the next.

A training loop sends one metric after the other, and each answer must wait for the disk. So calls
gather while a commit is under way, and the next transaction takes them all; one that is wrong is
told so alone, and the others stand.
"""

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from thrive.domain.errors import ThriveError
from thrive.operations import Context
from thrive.store import changes, logged_models
from thrive.store.database import Tx
from thrive.store.observations import Observation, observe

MOST = 256
"""Entries in one transaction."""
GATHER_S = 0.005
"""For how long calls that keep coming are gathered before they are written."""
LOOK_S = 0.001
"""How long those who are not back yet are waited for at a time."""


class Entry(msgspec.Struct, frozen=True):
    """What one call logs into a run, and the points to be mirrored onto logged models by id."""

    run_id: str
    seen: Observation
    models: Mapping[str, list[dict[str, Any]]] = {}


_Waiting = list[tuple[Entry, asyncio.Future[None]]]


class Logbook:
    """Writes entries of many calls in few transactions.

    Args:
        run: calls a function in a thread.
    """

    def __init__(self, run: Callable[..., Awaitable[Any]]) -> None:
        self._run = run
        self._waiting: dict[str, _Waiting] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._last: dict[str, int] = {}

    async def write(self, ctx: Context, entry: Entry) -> None:
        """Return when an entry is written: it survives the end of this process.

        Raises:
            ThriveError: of this entry, or of the store.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(ctx.project_id, []).append((entry, future))
        if ctx.project_id not in self._tasks:
            self._tasks[ctx.project_id] = asyncio.create_task(self._drain(ctx))
        await future

    async def _drain(self, ctx: Context) -> None:
        try:
            while await self._gathered(ctx.project_id):
                waiting = self._waiting.pop(ctx.project_id)
                for first in range(0, len(waiting), MOST):
                    await self._write_some(ctx, waiting[first : first + MOST])
        finally:
            del self._tasks[ctx.project_id]

    async def _gathered(self, project_id: str) -> bool:
        """Wait for the calls that are on their way; tell whether there is any.

        Callers who are answered together come back together: one transaction for all of them
        costs half of two that each take some. So it is waited while each turn of the event loop
        brings one more, and for a moment until as many are back as were written last.
        """
        until, before = time.monotonic() + GATHER_S, 0
        while (count := len(self._waiting.get(project_id, ()))) > 0:
            few = count < self._last.get(project_id, 0)
            if count >= MOST or time.monotonic() > until or not (few or count > before):
                break
            await asyncio.sleep(0 if count > before else LOOK_S)
            before = count
        if count:
            self._last[project_id] = count
        return count > 0

    async def _write_some(self, ctx: Context, waiting: _Waiting) -> None:
        results: list[Exception | None]
        try:
            results = await self._run(write_together, ctx, [entry for entry, _ in waiting])
        except Exception as error:  # noqa: BLE001 - each caller raises it in its own task
            results = [error] * len(waiting)
        for (_, future), result in zip(waiting, results, strict=True):
            if future.done():  # whoever sent it has left
                continue
            if result is None:
                future.set_result(None)
            else:
                future.set_exception(copy.copy(result))


def write_together(ctx: Context, entries: Sequence[Entry]) -> list[ThriveError | None]:
    """Write entries in one transaction; return the error of each, None for those that stand."""
    project_id = ctx.project_id
    with ctx.home.write(durable=False) as tx:
        errors = [_unknown_model(tx, project_id, entry) for entry in entries]
        good = [entry for entry, error in zip(entries, errors, strict=True) if error is None]
        results = iter(observe(tx, project_id, [(entry.run_id, entry.seen) for entry in good]))
        errors = [error or next(results) for error in errors]
        good = [entry for entry, error in zip(entries, errors, strict=True) if error is None]
        for entry in good:
            _mirror(tx, project_id, entry)
        changed = dict.fromkeys(entry.run_id for entry in good)
        changes.append_many(tx, project_id, (("run", run_id) for run_id in changed))
    return errors


def _unknown_model(tx: Tx, project_id: str, entry: Entry) -> ThriveError | None:
    try:
        for model_id in entry.models:
            logged_models.get(tx, project_id, model_id)
    except ThriveError as error:
        return error
    return None


def _mirror(tx: Tx, project_id: str, entry: Entry) -> None:
    """Write points onto the logged models they were measured with; the same point is one."""
    for model_id, points in entry.models.items():
        model = logged_models.get(tx, project_id, model_id)
        kept = [each for each in model.metrics if each not in points]
        mirrored = msgspec.structs.replace(model, metrics=[*kept, *points])
        logged_models.save(tx, project_id, mirrored)
