"""What clients log, written together: whoever waits while one transaction commits shares the next.

A training loop sends one metric after the other, and each answer must wait for the disk. So calls
gather while a commit is under way, and the next transaction takes them all; one that is wrong is
told so alone, and the others stand.
"""

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from thrive.domain.errors import ThriveError
from thrive.domain.experiment import LoggedModel
from thrive.operations import Context
from thrive.store import changes, logged_models
from thrive.store.observations import Observation, observe

MOST = 256
"""Entries in one transaction."""
GATHER_S = 0.005
"""For how long calls that keep coming are gathered before they are written."""
MOST_MIRRORED = 1000
"""Points that a logged model keeps beside its run."""
LOOK_S = 0.001
"""How long those who are not back yet are waited for at a time."""


Point = dict[str, Any]
"""A point as the protocol spells it."""
_Identity = tuple[tuple[str, Any], ...]
_SERIES = ("key", "run_id", "dataset_name", "dataset_digest")


class Entry(msgspec.Struct, frozen=True):
    """What one call logs into a run, and the points to be mirrored onto logged models by id."""

    run_id: str
    seen: Observation
    models: Mapping[str, list[Point]] = {}


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
        wanted = {model_id for entry in entries for model_id in entry.models}
        known = logged_models.hold(tx, project_id, wanted) if wanted else {}
        errors = [_unknown_model(known, entry) for entry in entries]
        good = [entry for entry, error in zip(entries, errors, strict=True) if error is None]
        results = iter(observe(tx, project_id, [(entry.run_id, entry.seen) for entry in good]))
        errors = [error or next(results) for error in errors]
        good = [entry for entry, error in zip(entries, errors, strict=True) if error is None]
        for model in _mirrored(known, good):
            logged_models.save(tx, project_id, model)
        changed = dict.fromkeys(entry.run_id for entry in good)
        changes.append_many(tx, project_id, (("run", run_id) for run_id in changed))
    return errors


def _unknown_model(known: Mapping[str, LoggedModel], entry: Entry) -> ThriveError | None:
    missing = next((model_id for model_id in entry.models if model_id not in known), None)
    return None if missing is None else logged_models.unknown(missing)


def _mirrored(known: Mapping[str, LoggedModel], entries: Sequence[Entry]) -> Iterable[LoggedModel]:
    """Return the logged models that points were measured with, with these points.

    The same point is there once. A model whose metrics are logged at every step would be written
    whole with all of them each time: beyond `MOST_MIRRORED` points the latest of each metric
    stays. Its run has all of them.
    """
    found: dict[str, dict[_Identity, Point]] = {}
    for entry in entries:
        for model_id, points in entry.models.items():
            kept = found.setdefault(model_id, _by_identity(known[model_id].metrics))
            kept.update(_by_identity(points))
    for model_id, kept in found.items():
        points = list(kept.values())
        if len(points) > MOST_MIRRORED:
            points = _latest(points)
        yield msgspec.structs.replace(known[model_id], metrics=points)


def _by_identity(points: Iterable[Point]) -> dict[_Identity, Point]:
    return {tuple(sorted(point.items())): point for point in points}


def _latest(points: Iterable[Point]) -> list[Point]:
    """Return the latest point of each metric of a run on a dataset."""
    ordered = sorted(points, key=lambda point: (point["step"], point["timestamp"]))
    return list({tuple(map(point.get, _SERIES)): point for point in ordered}.values())
