"""Why a step was executed: what its key is made of, beside the last time it was asked for."""

from typing import Any

import msgspec

from thrive.domain.actor import ANYONE
from thrive.domain.errors import NotFound
from thrive.domain.run import REPRODUCES, Run, RunState, StepCode, StepRecord
from thrive.operations import Context, operation
from thrive.store import runs
from thrive.store.database import Tx

SHOWN_DIGEST = 12
"""Characters of a digest that people compare."""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why a step was executed, or where its result came from.

    Attributes:
        step: the step.
        why: `code`, `library`, `argument`, `class`, `file`, `variable`, `salt` or `seed` changed;
            or `cached`, `first time`, `not kept`, `asked` (nothing changed).
        name: what changed, or words.
        before: what it was the last time; a short value or the beginning of a digest.
        now: what it is.
    """

    step: str
    why: str
    name: str
    before: str = ""
    now: str = ""


@operation("runs why", role=ANYONE)
def why(ctx: Context, run: str) -> list[Reason]:
    """Say why the steps of a run were executed: what changed since the last time.

    Args:
        ctx: the context of the call.
        run: the run's id or the beginning of it; with /STEP for one step, by name or position.

    Raises:
        NotFound: there is no such run or step.

    Examples:
        thrive runs why 01928374
        thrive runs why 01928374/fit
    """
    wanted, _, step = run.partition("/")
    with ctx.read() as tx:
        found = runs.get(tx, ctx.project_id, wanted)
        steps = runs.find_steps(tx, ctx.project_id, found.run_id)
        chosen = [each for each in steps if not step or step in _names(each)]
        if not chosen:
            raise NotFound(f"Run {wanted} has no step {step!r}.", f"thrive runs show {wanted}")
        last = _Last(tx, ctx.project_id, found)
        reasons = [reason for each in chosen for reason in _reasons(tx, ctx, each, last)]
    repeated = found.tags.get(REPRODUCES, "")
    return [_of_repetition(reason, repeated) for reason in reasons] if repeated else reasons


def _of_repetition(reason: Reason, repeated: str) -> Reason:
    """Return what a step of a reproduction was executed for: to be compared, not for a change."""
    if reason.why != "asked":
        return reason
    words = f"nothing changed: it repeats run {repeated}, and every step is executed to compare"
    return msgspec.structs.replace(reason, name=words)


def _names(step: StepRecord) -> set[str]:
    return {step.name, step.label, str(step.position)}


class _Last:
    """Finds the same step in the last earlier run of the pipeline that came so far.

    For a run that repeats another one, that is the one it repeats.
    """

    def __init__(self, tx: Tx, project_id: str, run: Run) -> None:
        self._counts: dict[str, int] = {}
        self._runs = [
            by_place(runs.find_steps(tx, project_id, each)) for each in _before(tx, project_id, run)
        ]
        self._places = {
            step.position: place
            for place, step in by_place(runs.find_steps(tx, project_id, run.run_id)).items()
        }

    def of(self, step: StepRecord) -> StepRecord | None:
        place = self._places[step.position]
        return next((steps[place] for steps in self._runs if place in steps), None)


def _before(tx: Tx, project_id: str, run: Run) -> list[str]:
    """Return the runs that a run is compared with, the first of them first."""
    if REPRODUCES in run.tags:
        return [str(run.tags[REPRODUCES])]
    earlier = runs.find(tx, project_id, limit=20, after=run.run_id, experiment=run.experiment)
    return [each.run_id for each in earlier if each.pipeline == run.pipeline]


def by_place(steps: list[StepRecord]) -> dict[tuple[str, int], StepRecord]:
    """Return steps by label and by which call of that label they are.

    The rows of a fan-out are told apart by their labels: those that are executed begin after those
    that are known already.
    """
    counts: dict[str, int] = {}
    placed: dict[tuple[str, int], StepRecord] = {}
    for step in steps:
        count = counts.get(step.label, 0)
        placed[step.label, count] = step
        counts[step.label] = count + 1
    return placed


def _reasons(tx: Tx, ctx: Context, step: StepRecord, last: _Last) -> list[Reason]:
    if step.source:
        return [_reason(step, "cached", f"the result of {step.source}")]
    before = last.of(step)
    if before is None:
        return [_reason(step, "first time", "no earlier run came to it")]
    return changes_between(tx, ctx, before, step)


def changes_between(
    tx: Tx, ctx: Context, before: StepRecord, step: StepRecord, code: dict[str, Any] | None = None
) -> list[Reason]:
    """Return why a step is executed although it was executed before.

    Args:
        tx: an open transaction.
        ctx: the context of the call.
        before: the step as it was.
        step: the step as it is.
        code: what its code stands on, where that is not stored yet.
    """
    changes = _code(tx, ctx, before, step, code) + _inputs(before, step)
    if before.seed != step.seed:
        changes.append(_reason(step, "seed", "seed", before.seed, step.seed))
    return changes or [_unchanged(before, step)]


def _unchanged(before: StepRecord, step: StepRecord) -> Reason:
    """Return why a step was executed although nothing that its key names has changed."""
    if step.note or before.note:
        return _reason(step, "not kept", step.note or before.note)
    if before.state is not RunState.DONE:
        return _reason(step, "not kept", f"the last time it ended {before.state.value}")
    return _reason(step, "asked", "nothing changed: it was to be executed, or its result is gone")


def _code(
    tx: Tx, ctx: Context, before: StepRecord, step: StepRecord, code: dict[str, Any] | None
) -> list[Reason]:
    if before.code == step.code:
        return []
    codes = [runs.get_step_code(tx, ctx.project_id, each.code) for each in (before, step)]
    if code is not None:
        codes[1] = msgspec.convert(code, StepCode)
    old, new = ({}, {}) if None in codes else ((code.parts if code else {}) for code in codes)
    was, now = ({}, {}) if None in codes else ((code.libraries if code else {}) for code in codes)
    found = _differences(step, "code", old, new) + _differences(step, "library", was, now)
    return found or [_reason(step, "code", "the step", before.code, step.code)]


def _inputs(before: StepRecord, step: StepRecord) -> list[Reason]:
    kinds = {
        "argument": "arguments",
        "class": "classes",
        "file": "files",
        "variable": "variables",
    }
    old, new = before.inputs or {}, step.inputs or {}
    found: list[Reason] = []
    for kind, field in kinds.items():
        found += _differences(step, kind, old.get(field, {}), new.get(field, {}))
    return found + _differences(
        step, "salt", {"salt": old.get("salt", "")}, {"salt": new.get("salt", "")}
    )


def _differences(
    step: StepRecord, kind: str, old: dict[str, str], new: dict[str, str]
) -> list[Reason]:
    return [
        _reason(step, kind, name, old.get(name, ""), new.get(name, ""))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def _reason(step: StepRecord, kind: str, name: str, before: Any = "", now: Any = "") -> Reason:
    return Reason(step=step.label, why=kind, name=name, before=_short(before), now=_short(now))


def _short(value: Any) -> str:
    text = str(value)
    return text[:SHOWN_DIGEST] if len(text) == 64 else text
