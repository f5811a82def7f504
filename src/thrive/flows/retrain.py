"""Training a model again: the same pipeline with the same parameters, on newer data."""

import tempfile
from pathlib import Path
from typing import Any

import msgspec

from thrive.domain.actor import BUILDERS
from thrive.domain.clock import format_time
from thrive.domain.errors import Refused, ThriveError, UsageError
from thrive.domain.model import ModelVersion
from thrive.domain.reference import format_reference
from thrive.domain.run import Run
from thrive.flows.act import RETRAIN, note_failed, note_retrained
from thrive.flows.recorded_files import bring_files, files_read
from thrive.flows.train import train
from thrive.operations import Context, Kind, operation
from thrive.store import models, runs
from thrive.tracking.code import unpack_code
from thrive.training.tracked import ARGUMENTS

UNTIL = "until"
"""The parameter that ends a pipeline's data; moved to the present day unless it is given."""


class Retrained(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a retraining: its run and the versions it registered of the model."""

    model: str
    run_id: str
    versions: list[int]

    @property
    def next_hint(self) -> str:
        """What to type next."""
        if not self.versions:
            return f"thrive runs show {self.run_id}"
        return f"thrive gates run {format_reference(self.model, self.versions[-1])}"


@operation(RETRAIN, role=BUILDERS, kind=Kind.JOB, writes=True)
def models_retrain(
    ctx: Context, model: str, *, decision: str = "", param: list[str] | None = None
) -> Retrained:
    """Train a model again with the code, the pipeline and the parameters of its newest version.

    The code is what that version's run recorded, wherever this is executed. A parameter `until`
    of that run is moved to the present day, so that newer data counts.

    Args:
        model: the model.
        decision: the decision that asked for it; completed when the run ends.
        param: parameters to change, e.g. --param until=2013-09-01.

    Raises:
        Refused: the newest version was not made by a recorded run.

    Examples:
        thrive models retrain flight-delay
        thrive models retrain flight-delay --param until=2013-09-01
    """
    try:
        made = _retrain(ctx, model, param or [])
    except ThriveError as error:
        if decision and not error.transient:
            note_failed(ctx, decision, error.what)
        raise
    if decision:
        note_retrained(ctx, decision, msgspec.to_builtins(made))
    return made


def _retrain(ctx: Context, model: str, changed: list[str]) -> Retrained:
    with ctx.read() as tx:
        newest = models.get_version(tx, ctx.project_id, model)
        run = runs.get(tx, ctx.project_id, newest.run_id) if newest.run_id else None
        steps = runs.find_steps(tx, ctx.project_id, run.run_id) if run else []
    if run is None or run.code is None:
        raise Refused(
            f"{model}@{newest.version} was not made by a recorded run.",
            "train it with `thrive run FILE`",
        )
    params = _params(run, changed, ctx.now())
    with tempfile.TemporaryDirectory(dir=ctx.home.temporary_folder, prefix="retrain-") as place:
        folder = Path(place)
        code = unpack_code(run.code, folder, ctx.home.blobs)
        bring_files(ctx, folder, files_read(steps))
        done = train(
            ctx.inside(folder), run.code.entry, params, experiment=run.experiment, code=code
        )
    return Retrained(model=model, run_id=done.run_id, versions=_versions_of(ctx, newest, done))


def _params(run: Run, changed: list[str], now: int) -> list[str]:
    """Return the run's parameters with those that were changed, as `name=value`.

    A script gets its words as they were, and then what was changed: the last word counts.
    """
    values = {
        name: value for name, value in run.params.items() if isinstance(value, str | int | float)
    }
    if UNTIL in values:
        values[UNTIL] = format_time(now)[:10]
    words = run.environment.get(ARGUMENTS)
    if words is not None:
        later = {UNTIL: values[UNTIL]} if UNTIL in values else {}
        return [*words, *(f"--{name}={v}" for name, v in {**later, **_pairs(changed)}.items())]
    return [f"{name}={_text(value)}" for name, value in {**values, **_pairs(changed)}.items()]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pairs(changed: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in changed:
        name, separator, value = text.partition("=")
        if not name or not separator:
            raise UsageError(f"{text!r} is not a parameter.", "write --param until=2013-09-01")
        pairs[name] = value
    return pairs


def _versions_of(ctx: Context, newest: ModelVersion, run: Run) -> list[int]:
    with ctx.read() as tx:
        later = models.versions(tx, ctx.project_id, newest.model)
    return [version.version for version in later if version.run_id == run.run_id]
