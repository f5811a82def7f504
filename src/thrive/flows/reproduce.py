"""Doing a run again from its record, and saying step by step whether the same came out."""

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from thrive.domain.actor import BUILDERS
from thrive.domain.errors import NotFound, NotRight, Refused, ThriveError
from thrive.domain.reference import format_reference
from thrive.domain.run import REPRODUCES, Run, RunState, StepRecord, Use
from thrive.engines.environment import record_environment
from thrive.engines.local import Exit, Message, Needs
from thrive.engines.rebuild import differences, must_rebuild, rebuild, thread_variables
from thrive.flows.execution import Recorded, Registered
from thrive.flows.order import CachePolicy, Order
from thrive.flows.recorded_files import bring_files, files_read
from thrive.flows.results import is_there
from thrive.flows.shared_runs import find_run
from thrive.flows.terminal import show_on_terminal
from thrive.flows.tracked import FILE, OUTPUTS
from thrive.flows.train import Started, finish, start
from thrive.operations import Context, Kind, operation
from thrive.packaging.manifest import read_manifest
from thrive.store import datasets, runs
from thrive.store.snapshots.bring import parts_of
from thrive.store.snapshots.manifest import read_snapshot
from thrive.tracking.code import unpack_code
from thrive.training.tracked import ARGUMENTS

REPRODUCED = "reproduced"
"""The tag of a run that was repeated: the verdict, and by which run."""
TOLERANCE = 1e-9
COMPARE = "compare"
COMPARE_SECONDS = 600.0


class Same(StrEnum):
    """How far what came out is what had come out; the worst of several counts."""

    BITWISE = "bitwise"
    WITHIN = "equal within tolerance"
    DIFFERENT = "different"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one step, metric or model.

    Attributes:
        kind: `step`, `metric`, `model` or `file`.
        name: which.
        verdict: how far it is the same.
        largest: the largest relative difference of numbers, None where none was measured.
        detail: where the first difference lies, in words.
    """

    kind: str
    name: str
    verdict: Same
    largest: float | None = None
    detail: str = ""


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """What came of doing a run again.

    Attributes:
        run_id: the run that was done again.
        again: the run that did it.
        verdict: the worst of all parts.
        first: the first step that differs, else the first other part; "" when all is bitwise.
        environment: in what the two environments differ, in words.
        parts: each step, metric and model.
    """

    run_id: str
    again: str
    verdict: Same
    first: str
    environment: list[str]
    parts: list[Part]

    @property
    def exit_code(self) -> int:
        """What the command line exits with: 0 bitwise, 3 within tolerance, 1 different."""
        return {Same.BITWISE: 0, Same.WITHIN: 3, Same.DIFFERENT: 1}[self.verdict]


@operation("runs reproduce", role=BUILDERS, kind=Kind.CLIENT, writes=True)
def reproduce(
    ctx: Context, run: str, *, tolerance: float = TOLERANCE, here: bool = False
) -> Reproduction:
    """Do a run again from its record alone, and say of each step whether the same came out.

    Code, data, parameters, seeds and threads are those that were recorded, wherever this is
    called; the environment is built anew if this one is another. Every step is executed, and
    no model is registered. A run of another home is brought from where `runs push` left it.

    Args:
        ctx: the context of the call.
        run: the run's id, or the beginning of it.
        tolerance: the relative difference of numbers that still counts as equal.
        here: use this environment, also where it is another one.

    Raises:
        Refused: the run did not come to its end, or had no record of its code.
        NotFound: data or code that it used is gone, or a file that it read has changed.

    Examples:
        thrive runs reproduce 01928374
    """
    found = find_run(ctx, run)
    with ctx.read() as tx:
        used = runs.find_uses(tx, ctx.project_id, found.run_id)
        steps = runs.find_steps(tx, ctx.project_id, found.run_id)
    _refuse_unfinished(found)
    recorded = _recorded(ctx, used)
    apart = must_rebuild(found.environment, record_environment())
    with tempfile.TemporaryDirectory(dir=ctx.home.temporary_folder, prefix="again-") as place:
        folder = Path(place)
        assert found.code is not None
        unpack_code(found.code, folder, ctx.home.blobs)
        python = rebuild(found.environment, folder) if apart and not here else ""
        order = _order(found, recorded, python)
        bring_files(ctx, folder, files_read(steps, used))
        started = start(ctx.inside(folder), order, show_on_terminal)
        with started.engine:
            again = finish(started)
            with ctx.read() as tx:
                now = runs.find_steps(tx, ctx.project_id, again.run_id)
                uses = runs.find_uses(tx, ctx.project_id, again.run_id)
            parts = _Judge(ctx, started, tolerance).parts(found, steps, again, now)
            parts += _files(used, uses)
    if not parts:
        raise NotRight(f"Run {found.run_id} made nothing that could be compared.", "")
    left = differences(found.environment, again.environment)
    return _kept(ctx, found, again, parts, left)


def _refuse_unfinished(run: Run) -> None:
    if run.state is not RunState.DONE:
        raise Refused(f"Run {run.run_id} ended {run.state.value}.", "choose one that is done")
    if run.code is None or not run.code.bundle:
        raise Refused(f"Run {run.run_id} has no record of its code.", "thrive run FILE")


def _recorded(ctx: Context, used: list[Use]) -> Recorded:
    """Return the data and models of a run, all present in this home.

    Raises:
        NotFound: a version that it read is gone.
    """
    data: dict[str, int] = {}
    registered: dict[str, list[Registered]] = {}
    with ctx.read() as tx:
        for use in used:
            if use.kind == "dataset" and use.direction == "in" and use.version is not None:
                _fetch(ctx, tx, use)
                data[use.name] = max(use.version, data.get(use.name, 0))
            elif use.kind == "model" and use.direction == "out":
                made = Registered(model=use.name, version=use.version or 0, package=use.digest)
                registered.setdefault(use.name, []).append(made)
    for versions in registered.values():
        versions.sort(key=lambda version: version.version)
    return Recorded(data=data, models=registered)


def _fetch(ctx: Context, tx: Any, use: Use) -> None:
    label = format_reference(use.name, use.version or 0)
    version = datasets.get_version(tx, ctx.project_id, use.name, use.version)
    if version.digest != use.digest:
        raise NotFound(f"{label} is not what the run read: {use.digest[:12]}.", "")
    try:
        digests = parts_of(ctx.home.blobs, read_snapshot(ctx.home.blobs, version.listed_in))
        ctx.home.blobs.fetch(*digests)
        ctx.home.blobs.admit(*digests)
    except ThriveError as error:
        raise NotFound(f"{label}, which the run read, is gone: {error.what}", error.hint) from None


def _order(run: Run, recorded: Recorded, python: str) -> Order:
    assert run.code is not None
    words = run.environment.get(ARGUMENTS)
    return Order(
        target=run.code.entry,
        params=words or [],
        values=run.params if words is None else {},
        experiment=run.experiment,
        policy=CachePolicy(use=False),
        seed=run.seed,
        tags={REPRODUCES: run.run_id},
        environment=thread_variables(run.environment),
        recorded=recorded,
        python=python,
    )


class _Judge:
    """Compares what two runs made, in a process of the second one."""

    def __init__(self, ctx: Context, started: Started, tolerance: float) -> None:
        self._ctx = ctx
        self._started = started
        self._tolerance = tolerance

    def parts(
        self, run: Run, steps: list[StepRecord], again: Run, now: list[StepRecord]
    ) -> list[Part]:
        """Return the verdict on each step, metric and model."""
        metrics = [
            self._metric(name, run.metrics.get(name), again.metrics.get(name))
            for name in sorted({*run.metrics, *again.metrics})
        ]
        made = [self._model(*each) for each in self._started.execution.packages]
        return self._steps(steps, now) + metrics + made

    def _steps(self, steps: list[StepRecord], now: list[StepRecord]) -> list[Part]:
        first, second = _placed(steps), _placed(now)
        places = [*first, *(each for each in second if each not in first)]
        known = {place: _by_digest(first.get(place), second.get(place)) for place in places}
        known.update(
            {at: _outputs_part(first[at]) for at in places if _shows(known[at], first, at)}
        )
        unlike = [place for place in places if known[place] is None]
        pairs = [(first[place], second[place]) for place in unlike]
        known.update(zip(unlike, self._by_content(pairs), strict=True))
        return [part for part in known.values() if part is not None and part.name]

    def _by_content(self, pairs: list[tuple[StepRecord, StepRecord]]) -> list[Part]:
        """Compare the values of steps whose results differ as files."""
        there = [self._is_there(step) for step, _ in pairs]
        asked = [
            [one.result, other.result]
            for (one, other), known in zip(pairs, there, strict=True)
            if known
        ]
        found = iter(_ask(self._started, asked, self._tolerance) if asked else ())
        return [
            _content_part(one.label, next(found) if known else None)
            for (one, _), known in zip(pairs, there, strict=True)
        ]

    def _is_there(self, step: StepRecord) -> bool:
        try:
            return is_there(self._ctx, step.result)
        except ThriveError:
            return False

    def _metric(self, name: str, first: float | None, second: float | None) -> Part:
        if first == second:
            return Part(kind="metric", name=name, verdict=Same.BITWISE)
        if first is None or second is None:
            return Part(
                kind="metric", name=name, verdict=Same.DIFFERENT, detail=f"{first} and {second}"
            )
        apart = abs(first - second) / max(1.0, abs(first), abs(second))
        verdict = Same.WITHIN if apart <= self._tolerance else Same.DIFFERENT
        detail = f"{first!r} and {second!r}"
        return Part(kind="metric", name=name, verdict=verdict, largest=apart, detail=detail)

    def _model(self, version: Registered, package: str) -> Part:
        """Compare two packages by their files; the moment they were made is no part of a model."""
        first, second = (
            read_manifest(self._ctx.home.blobs.get(digest), digest=digest)
            for digest in (version.package, package)
        )
        names = sorted({*first.files, *second.files})
        unlike = [name for name in names if first.files.get(name) != second.files.get(name)]
        if first.signature != second.signature:
            unlike.append("the signature")
        return Part(
            kind="model",
            name=format_reference(version.model, version.version),
            verdict=Same.DIFFERENT if unlike else Same.BITWISE,
            detail=f"{', '.join(unlike)} of the package" if unlike else "",
        )


def _placed(steps: list[StepRecord]) -> dict[tuple[str, int], StepRecord]:
    """Return steps by name and by which call of that name they are."""
    counts: dict[str, int] = {}
    placed: dict[tuple[str, int], StepRecord] = {}
    for step in steps:
        placed[step.name, counts.get(step.name, 0)] = step
        counts[step.name] = counts.get(step.name, 0) + 1
    return placed


def _by_digest(first: StepRecord | None, second: StepRecord | None) -> Part | None:
    """Return the verdict that needs no look inside; a nameless one says there is nothing."""
    if first is None or second is None:
        one = first or second
        words = "it is executed now" if first is None else "it is not executed any more"
        name = one.label if one else ""
        return Part(kind="step", name=name, verdict=Same.DIFFERENT, detail=words)
    if not first.result and not second.result:
        return Part(kind="step", name="", verdict=Same.BITWISE)
    if not first.result or not second.result:
        words = "one of the two kept no result"
        return Part(kind="step", name=first.label, verdict=Same.DIFFERENT, detail=words)
    if first.result["digest"] == second.result["digest"]:
        return Part(kind="step", name=first.label, verdict=Same.BITWISE)
    return None


def _shows(
    known: Part | None, first: dict[tuple[str, int], StepRecord], at: tuple[str, int]
) -> bool:
    """Tell whether a difference is one of what a cell of a notebook shows."""
    return known is None and (first[at].result or {}).get("kind") == OUTPUTS


def _outputs_part(cell: StepRecord) -> Part:
    return Part(
        kind="step", name=cell.label, verdict=Same.DIFFERENT, detail="it shows something else"
    )


def _files(used: list[Use], now: list[Use]) -> list[Part]:
    """Return the verdict on each file that a script wrote."""
    first, second = (
        {use.name: use.digest for use in each if use.kind == FILE and use.direction == "out"}
        for each in (used, now)
    )
    return [
        Part(
            kind=FILE,
            name=name,
            verdict=Same.BITWISE if first.get(name) == second.get(name) else Same.DIFFERENT,
        )
        for name in sorted({*first, *second})
    ]


def _content_part(name: str, found: dict[str, Any] | None) -> Part:
    if found is None:
        words = "the result is another one; the recorded one is gone, so nobody can tell how far"
        return Part(kind="step", name=name, verdict=Same.DIFFERENT, detail=words)
    verdict = Same.BITWISE if found["exact"] else Same.WITHIN if found["within"] else Same.DIFFERENT
    largest = found["largest"] if found["largest"] < float("inf") else None
    return Part(kind="step", name=name, verdict=verdict, largest=largest, detail=found["place"])


def _ask(started: Started, pairs: list[Any], tolerance: float) -> list[dict[str, Any]]:
    """Have values compared in a process of the run: this one unpickles nothing."""
    engine, facts = started.engine, started.execution.facts
    work = {"role": COMPARE, "name": COMPARE, "seed": 0, "pairs": pairs, "tolerance": tolerance}
    engine.fork(COMPARE, work, {**facts, "role": COMPARE}, Needs(timeout=COMPARE_SECONDS))
    found: list[dict[str, Any]] | None = None
    while True:
        for event in engine.events(1.0):
            if isinstance(event, Message) and event.kind == "compared":
                found = event.body["found"]
            elif isinstance(event, Message) and event.kind == "failed":
                raise NotRight(f"The results cannot be read: {event.body['failure']['what']}", "")
            elif isinstance(event, Exit):
                if found is None:
                    raise NotRight("The process that compares the results ended too early.", "")
                return found


def _kept(
    ctx: Context, run: Run, again: Run, parts: list[Part], environment: list[str]
) -> Reproduction:
    """Write the verdict on both runs."""
    order = list(Same)
    verdict = max((part.verdict for part in parts), key=order.index)
    first = next((part for part in parts if part.verdict is not Same.BITWISE), None)
    named = f"{first.kind} {first.name}" if first else ""
    words = verdict.value + (f" from {named}" if named else "")
    with ctx.write(f"run:{run.run_id}", reproduced=verdict.value, by=again.run_id) as tx:
        newest = runs.get(tx, ctx.project_id, run.run_id)
        told = {**newest.tags, REPRODUCED: f"{words}, by run {again.run_id}"}
        runs.save(tx, ctx.project_id, msgspec.structs.replace(newest, tags=told))
        said = {**again.tags, REPRODUCED: words}
        runs.save(tx, ctx.project_id, msgspec.structs.replace(again, tags=said))
    return Reproduction(
        run_id=run.run_id,
        again=again.run_id,
        verdict=verdict,
        first=named,
        environment=environment,
        parts=parts,
    )
